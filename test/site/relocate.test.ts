/** Scripts of a build find the site's path from their own address. */
import { expect, it } from "vitest";
import { PLACEHOLDER, relocatedScript } from "../../site/output/relocate.js";

/** `value`, as a module at assets/x.js of a site below /any/path/ exports it. */
async function valueOf(code: string) {
  const script = relocatedScript(code, "assets/x.js").replaceAll(
    "import.meta.url",
    '"http://host/any/path/assets/x.js"',
  );
  const url = `data:text/javascript,${encodeURIComponent(script)}`;
  return ((await import(/* @vite-ignore */ url)) as { readonly value: unknown }).value;
}

it.each([
  ["a string", `export const value = "${PLACEHOLDER}a.svg".slice(1);`, "any/path/a.svg"],
  ["a string twice", `export const value = '${PLACEHOLDER}a ${PLACEHOLDER}b';`, "/any/path/a /any/path/b"],
  ["JSON", `export const value = JSON.parse("{\\"base\\":\\"${PLACEHOLDER}\\"}").base;`, "/any/path/"],
  [
    "a template",
    `const x = 1; export const value = \`\${x}${PLACEHOLDER}\${"${PLACEHOLDER}".length > 0}\`;`,
    "1/any/path/true",
  ],
  ["the value of a property", `export const value = { a: "${PLACEHOLDER}" }.a;`, "/any/path/"],
])("%s", async (_, code, value) => expect(await valueOf(code)).toBe(value));

it.each([
  ["an import", `import "${PLACEHOLDER}a.js";`],
  ["the name of a property", `export const x = { "${PLACEHOLDER}": 1 };`],
  ["a comment", `export const x = 1; // ${PLACEHOLDER}`],
])("%s cannot be rewritten, and says so", (_, code) =>
  expect(() => relocatedScript(code, "x.js")).toThrow("stands in a place that is no string"),
);
