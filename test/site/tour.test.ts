/** Every cell of the tour, in Chromium: it runs, and prints what docs/tour.md shows. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Page } from "playwright";
import { expect, it } from "vitest";
import { blocksOf } from "../../scripts/pages/blocks.js";
import { root } from "./crawl.js";
import { withPage } from "./support.js";

const blocks = blocksOf(await readFile(join(root, "docs/tour.md"), "utf8")).filter(({ language }) => language === "js");

const cell = (page: Page, number: number) => page.getByRole("region", { name: `Cell ${number}`, exact: true });
const ended = (page: Page, number: number) =>
  page.locator(`section[aria-label="Cell ${number}"]:is([data-state=done], [data-state=failed])`);
const program = (page: Page, number: number) =>
  page.getByRole("textbox", { name: `Program of cell ${number}`, exact: true });

const press = (page: Page, number: number, name: string) =>
  cell(page, number).getByRole("button", { name, exact: true }).click();

async function run(page: Page, number: number) {
  await press(page, number, "Run");
  await ended(page, number).waitFor();
}

/** The output of a cell as text. */
function outputOf(page: Page, number: number) {
  return cell(page, number)
    .locator(".tour-output")
    .evaluate((output) =>
      Array.from(output.children, (part) => {
        if (!(part instanceof HTMLTableElement)) return part.textContent;
        return Array.from(part.rows, ({ cells }) => `${Array.from(cells, (one) => one.textContent).join(" ")}\n`).join(
          "",
        );
      }).join(""),
    );
}

/**
 * Common part of a cell's output and the page's. Numbers that come from training differ in their last digits
 * from processor to processor, and a text with exits may, where a threshold is close.
 */
const withoutNumbers = (text: string) => text.replace(/\d+(?:\.\d+)?/g, "#");
const common: Readonly<Record<number, (text: string) => string>> = {
  4: withoutNumbers,
  5: (text) => text.replace(/^(depth|\d+) .*$/gm, "$1"),
  6: (text) => withoutNumbers(text.trimEnd().split("\n").at(-1)!),
  7: withoutNumbers,
};

it("has eight cells of at most sixteen lines", () => {
  expect(blocks.length).toBe(8);
  expect(Math.max(...blocks.map(({ code }) => code.trimEnd().split("\n").length))).toBeLessThanOrEqual(16);
});

it("runs from the first cell to the last, and prints what the page shows", () =>
  withPage("tour.html", async (page) => {
    await page.getByRole("button", { name: "Run all cells" }).click();
    for (const [i, { expected, line }] of blocks.entries()) {
      await ended(page, i + 1).waitFor();
      const output = await outputOf(page, i + 1);
      const part = (text: string) => (common[i + 1] ?? String)(text).replace(/ +/g, " ").trimEnd();
      expect.soft(part(output), `docs/tour.md:${line}, in full:\n${output}`).toBe(part(expected ?? ""));
    }
    // The text with exits is coloured in part; the plain one is not.
    expect(await cell(page, 2).locator(".tour-token").count()).toBe(0);
    expect(await cell(page, 6).locator(".tour-token").count()).toBeGreaterThan(5);
  }));

it("runs what the reader writes, after the cells before it, and brings the program back", () =>
  withPage("tour.html", async (page) => {
    await program(page, 2).fill('console.log("now", numLayers + 30);');
    await program(page, 2).press("Control+Enter");
    await ended(page, 2).waitFor();
    expect(await outputOf(page, 2)).toBe("now 42\n");
    expect(await outputOf(page, 1)).toMatch(/^12 blocks/);
    await press(page, 2, "Undo edits");
    expect(await program(page, 2).innerText()).toBe(blocks[1]!.code.trimEnd());
  }));

it("says what is wrong with a program, and stops one that does not end", () =>
  withPage("tour.html", async (page) => {
    await program(page, 1).fill('import { x } from "lodash";');
    await run(page, 1);
    expect(await outputOf(page, 1)).toContain('a cell cannot import "lodash"; it can import early-exits');
    await program(page, 1).fill("while (true);");
    await press(page, 1, "Run");
    await press(page, 1, "Stop");
    await ended(page, 1).waitFor();
    expect(await outputOf(page, 1)).toContain("Stopped.");
    await press(page, 1, "Undo edits");
    await run(page, 1);
    expect(await outputOf(page, 1)).toMatch(/^12 blocks/);
  }));
