/** The page of examples/browser/README.md, but for the CDN's address: the packed tarball is the CDN's content. */
import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, it } from "vitest";
import { blocksOf } from "../../scripts/pages/blocks.js";
import { scratch } from "../support/scratch.js";
import { served } from "../support/static-server.js";
import { chromiumHere, withWatchedPage } from "../support/watched-page.js";
import { root, run } from "./support.js";

const CDN = "https://cdn.jsdelivr.net/npm/";

interface Manifest {
  readonly version: string;
  readonly dependencies: Readonly<Record<string, string>>;
}

const { version, dependencies } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as Manifest;
const [page] = blocksOf(await readFile(join(root, "examples/browser/README.md"), "utf8")).filter(
  ({ language }) => language === "html",
);

const folder = scratch();
const ours = folder.path(`npm/early-exits@${version}`);
await mkdir(ours, { recursive: true });
await mkdir(folder.path("page"));
const { stdout } = await run("npm", ["pack", "--silent", "--pack-destination", folder.path()], root);
await run("tar", ["-xzf", folder.path(stdout.trim()), "--strip-components=1", "-C", ours], folder.path());
const tokenizers = "@huggingface/tokenizers";
await cp(join(root, "node_modules", tokenizers), folder.path(`npm/${tokenizers}@${dependencies[tokenizers]!}`), {
  recursive: true,
});
const cdn = await served(folder.path(), { headers: { "Access-Control-Allow-Origin": "*" } });
const host = await served(folder.path("page"));
await writeFile(folder.path("page/index.html"), page!.code.replaceAll(CDN, `${cdn}npm/`));
const browser = await chromiumHere();

it("names exact versions, those of package.json", () => {
  const named = page!.code.matchAll(/npm\/((?:@[\w-]+\/)?[\w-]+)@([\d.]+)\//g);
  expect(Object.fromEntries(Array.from(named, ([, name, exact]) => [name, exact]))).toEqual({
    "early-exits": version,
    [tokenizers]: dependencies[tokenizers],
  });
});

it.each([
  ["a server", host],
  ["the disk", pathToFileURL(folder.path("page/index.html")).href],
])("writes text with exits when it is opened from %s", (_, address) =>
  withWatchedPage(
    browser,
    address,
    async (opened) => {
      const text = await opened.locator("#text[data-done]").textContent();
      expect(text).toMatch(/^The people of the United States\W+\w/);
      expect(await opened.locator("#text mark").count()).toBeGreaterThan(10);
      const depth = Number(
        /^(\d+\.\d\d) of 12 blocks per token$/.exec((await opened.locator("#note").textContent())!)?.[1],
      );
      expect(depth).toBeGreaterThan(1);
      expect(depth).toBeLessThan(12);
    },
    { servers: [cdn, address], patience: 60_000 },
  ),
);
