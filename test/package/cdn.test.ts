/** The page of docs/cdn.md as it stands there, but for the CDN's address: the packed tarball is the CDN's content. */
import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Browser } from "playwright";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { blocksOf } from "../../scripts/pages/blocks.js";
import { launchChromium } from "../support/chromium.js";
import { scratch } from "../support/scratch.js";
import { serveFolder, type StaticServer } from "../support/static-server.js";
import { root, run } from "./support.js";

const CDN = "https://cdn.jsdelivr.net/npm/";

interface Manifest {
  readonly version: string;
  readonly dependencies: Readonly<Record<string, string>>;
}

const { version, dependencies } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as Manifest;
const [page] = blocksOf(await readFile(join(root, "docs/cdn.md"), "utf8")).filter(
  ({ language }) => language === "html",
);

const folder = scratch();
let browser: Browser;
let cdn: StaticServer;
let host: StaticServer;
beforeAll(async () => {
  const ours = folder.path(`npm/early-exits@${version}`);
  await mkdir(ours, { recursive: true });
  await mkdir(folder.path("page"));
  const { stdout } = await run("npm", ["pack", "--silent", "--pack-destination", folder.path()], root);
  await run("tar", ["-xzf", folder.path(stdout.trim()), "--strip-components=1", "-C", ours], folder.path());
  const tokenizers = "@huggingface/tokenizers";
  await cp(join(root, "node_modules", tokenizers), folder.path(`npm/${tokenizers}@${dependencies[tokenizers]!}`), {
    recursive: true,
  });
  cdn = await serveFolder(folder.path(), { headers: { "Access-Control-Allow-Origin": "*" } });
  host = await serveFolder(folder.path("page"));
  await writeFile(folder.path("page/index.html"), page!.code.replaceAll(CDN, `${cdn.url}npm/`));
  browser = await launchChromium();
});
afterAll(async () => {
  await browser.close();
  await cdn.close();
  await host.close();
});

describe("the page of docs/cdn.md", () => {
  it("names exact versions, those of package.json", () => {
    const named = Array.from(page!.code.matchAll(/npm\/((?:@[\w-]+\/)?[\w-]+)@([\d.]+)\//g), ([, name, exact]) => [
      name,
      exact,
    ]);
    expect(new Map(named as [string, string][])).toEqual(
      new Map([
        ["early-exits", version],
        ["@huggingface/tokenizers", dependencies["@huggingface/tokenizers"]!],
      ]),
    );
  });

  it.each([
    ["a server", () => host.url],
    ["the disk", () => pathToFileURL(folder.path("page/index.html")).href],
  ])("writes text with exits when it is opened from %s", async (_, address) => {
    const opened = await browser.newPage();
    const problems: string[] = [];

    opened.on("pageerror", ({ message }) => problems.push(message));
    opened.on("response", (response) => {
      const optional = /\/(?:generation_config\.json|chat_template\.jinja|manifest\.json)$/.test(response.url());
      if (!response.ok() && !optional) problems.push(`${response.status()} ${response.url()}`);
    });
    await opened.goto(address());
    const text = await opened.locator("#text[data-done]").textContent({ timeout: 60_000 });
    expect(text).toMatch(/^The people of the United States\W+\w/);
    expect(await opened.locator("#text mark").count()).toBeGreaterThan(10);
    const depth = Number(
      /^(\d+\.\d\d) of 12 blocks per token$/.exec((await opened.locator("#note").textContent())!)?.[1],
    );
    expect(depth).toBeGreaterThan(1);
    expect(depth).toBeLessThan(12);
    expect(problems).toEqual([]);
    await opened.close();
  });
});
