/** Every link and every anchor of the built site leads to something, wherever the site lies. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { contentsOf } from "../../site/markdown/contents.js";
import { PLACEHOLDER } from "../../site/output/relocate.js";
import { scratch } from "../support/scratch.js";
import { built, crawl, root } from "./crawl.js";

const site = await crawl(built);
const folder = scratch();

it("no link is dead", () => {
  expect(site.dead).toEqual([]);
  expect(site.links).toBeGreaterThan(10_000);
});

it("there are pages of all parts, with titles", async () => {
  const of = (pattern: RegExp) => site.pages.filter((page) => pattern.test(page));
  expect(of(/^[^/]+$/).length).toBeGreaterThan(19);
  expect(of(/^source\//).length).toBeGreaterThan(150);
  expect(of(/^api\//).length).toBeGreaterThan(300);
  expect(of(/^playground\//)).toEqual(["playground/index.html"]);
  for (const page of of(/^(?:[^/]+|source\/.*)$/)) {
    expect(await readFile(join(built, page), "utf8")).toMatch(/<title>\S[^<]* \| early-exits<\/title>/);
  }
});

it("the sidebar has the pages in the order of docs/README.md", async () => {
  const { numbered, others } = contentsOf(await readFile(join(root, "docs/README.md"), "utf8"));
  expect(numbered.length).toBeGreaterThan(12);
  expect(others.length).toBeGreaterThan(4);
  const html = await readFile(join(built, "05-confidence.html"), "utf8");
  const sidebar = /<aside class="VPSidebar"[\s\S]*?<\/aside>/.exec(html)![0];
  const links = Array.from(sidebar.matchAll(/href="([^"]+)"/g), ([, link]) => link);
  expect(links).toEqual(["./", ...[...numbered, ...others].map(({ link }) => `.${link}.html`)]);
});

it("no page, style or script has the base of the build in it, but for scripts that replace it", async () => {
  for (const page of site.pages.filter((path) => !path.includes("/"))) {
    expect(await readFile(join(built, page), "utf8"), page).not.toContain(PLACEHOLDER);
  }
});

it("a dead link, a dead anchor and a link from the host's root are found", async () => {
  const links = [
    "b.html",
    "b.html#here",
    "#top",
    "nothing.html",
    "b.html#nothing",
    "/b.html",
    "../out.html",
    "https://x.y/",
  ];
  await writeFile(folder.path("a.html"), `<p id="top">${links.map((link) => `<a href="${link}">x</a>`).join("")}`);
  await writeFile(folder.path("b.html"), `<p id="here">`);
  const { dead } = await crawl(folder.path());
  expect(dead).toEqual(["nothing.html", "b.html#nothing", "/b.html", "../out.html"].map((link) => `a.html -> ${link}`));
});
