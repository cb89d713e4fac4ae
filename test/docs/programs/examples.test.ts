/** Every function and class of the package's root has an example, which prints what the comments in it say. */
import * as root from "early-exits";
import { expect, it } from "vitest";
import { agrees } from "../../../scripts/pages/blocks.js";
import { runPage } from "../../../scripts/pages/run-page.js";
import { readSource, repositoryFiles } from "../../house/source-files.js";

const EXAMPLE = / \* @example\n \* ```ts\n([\s\S]*?) \* ```\n \*\/\nexport [a-z ]*(?:function\*?|class) (\w+)/g;
const IMPORT = /^import \{ (.*) \} from (".*");$/gm;

const examples = repositoryFiles("src/*.ts").flatMap((path) =>
  Array.from(readSource(path).matchAll(EXAMPLE), ([, code, name]) => ({
    name: name!,
    code: code!.replace(/^ \* ?/gm, ""),
  })),
);

it("all of them", () => {
  const values = Object.entries(root).filter(([, value]) => typeof value === "function");
  expect(examples.map(({ name }) => name).sort()).toEqual(values.map(([name]) => name).sort());
});

it("what they print", async () => {
  const imports = examples.flatMap(({ code }) =>
    Array.from(code.matchAll(IMPORT)).flatMap(([, names, from]) =>
      names!.split(", ").map((name) => `import { ${name} } from ${from!};`),
    ),
  );
  const blocks = [[...new Set(imports)].join("\n"), ...examples.map(({ code }) => `{\n${code.replace(IMPORT, "")}}`)];
  const page = blocks.map((code) => `\`\`\`ts\n${code}\n\`\`\`\n`).join("\n");
  const { outputs } = await runPage(page, { name: "test-examples", replace: { "node_modules/early-exits/": "" } });
  const wrong = examples.flatMap(({ name, code }, i) => {
    const says = Array.from(code.matchAll(/console\.log\(.*\); \/\/ (.*)$/gm), ([, said]) => said!).join("\n");
    return agrees(says, outputs[i + 1]!) ? [] : [`${name}: ${says} | ${outputs[i + 1]!}`];
  });
  expect(wrong).toEqual([]);
});
