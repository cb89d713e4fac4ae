/**
 * The playground as people use it: it writes, explains tokens, moves between operating points, opens folders and
 * rejects bad ones.
 */
import { describe, expect, it } from "vitest";
import {
  checkCertificate,
  choose,
  depthsOf,
  drop,
  folder,
  operatingPoints,
  PATIENCE,
  press,
  pressAtFirst,
  withPage,
  withText,
  writeLossless,
  written,
  says,
} from "./support.js";

describe("the playground", () => {
  it("stays responsive while it writes", () =>
    withPage(async (page) => {
      await page.locator(".token").first().waitFor();
      const longest = await page.evaluate(
        () =>
          new Promise<number>((resolve) => {
            let last = performance.now();
            let longest = 0;
            let looks = 0;
            const timer = setInterval(() => {
              const now = performance.now();
              longest = Math.max(longest, now - last);
              last = now;
              if (++looks < 100) return;
              clearInterval(timer);
              resolve(longest);
            }, 10);
            (document.querySelector("#form") as HTMLFormElement).requestSubmit();
          }),
      );
      expect(longest).toBeLessThan(500);
    }));

  it("moves between operating points by keyboard, and writes a new text", () =>
    withText(async (page) => {
      const slider = page.getByRole("slider", { name: "How often the text must be the full model's" });
      await slider.focus();
      const before = await slider.getAttribute("aria-valuetext");
      const texts = [await depthsOf(page)];
      const promises = [await page.locator("#promise").textContent()];
      await page.keyboard.press("Home");
      await page.locator("#text[aria-busy=false]").waitFor();
      expect(await slider.getAttribute("aria-valuetext")).not.toBe(before);
      expect(await page.locator("#agreement-value").textContent()).toMatch(/^80\s%$/);
      await choose(page, /as published, no guarantee/);
      await expect
        .poll(async () => (texts.push(await depthsOf(page)), new Set(texts.map(String)).size), { timeout: PATIENCE })
        .toBeGreaterThan(1);
      promises.push(await page.locator("#promise").textContent());
      expect(promises[0]).toMatch(/^Certified: at least 90\s%/);
      expect(promises[1]).toContain("promises nothing");
      expect(promises[1]).not.toBe(promises[0]);
      expect(await page.locator("#curve svg").count()).toBe(1);
      await page.getByText("The numbers").click();
      const { points, stored } = operatingPoints;
      expect(await page.locator("#curve-table tbody tr").count()).toBe(points.length);
      await page.getByText("Every way of storing the weights").click();
      const ways = page.locator("#stored-table tbody tr");
      expect(await ways.count()).toBe(stored!.ways.length);
      const speedups = stored!.ways.flatMap(({ speedup }) => speedup ?? []);
      expect(await ways.first().textContent()).toContain(`${Math.max(...speedups).toFixed(2)} ×`);
    }));

  it("explains the token in focus, and the arrow keys move between tokens", () =>
    withText(async (page) => {
      await page.locator(".token").first().focus();
      await page.keyboard.press("ArrowRight");
      await page.keyboard.press("ArrowRight");
      const focused = page.locator(".token:focus");
      expect(await focused.getAttribute("aria-label")).toMatch(/, (\d of|all) \d+ blocks/);
      const sources = page.locator("#inspector .key-values li");
      expect(await sources.first().textContent()).toMatch(/^Blocks 1 to \d ran to choose this token$/);
      expect(await sources.last().textContent()).toBe(
        "Blocks 5 to 12 have none of their own; they read those of the block below",
      );
      const rows = page.locator("#inspector tbody tr");
      expect(await rows.count()).toBe(operatingPoints.points[0]!.certified.policy.exits.length + 1);
      expect(await rows.first().textContent()).toMatch(/\d\.\d\d([ ><≤≥]+\d\.\d\d|, never leaves here)/);
      expect(await rows.last().textContent()).toMatch(/probability \d+\.\d\s%/);
      const shown = await page.locator("#inspector h3").textContent();
      await page.keyboard.press("End");
      await expect.poll(() => page.locator("#inspector h3").textContent()).not.toBe(shown);
      await page.locator(".token").nth(2).hover();
      expect(await page.locator("#inspector h3").textContent()).toBe(shown);
    }));

  it("writes the same text in lossless as in plain mode, with a timeline of drafts", () =>
    withText(async (page) => {
      await choose(page, /^Plain/);
      await page.getByText("Writing, plain").waitFor({ state: "detached" });
      const plain = await written(page);
      expect(new Set(await depthsOf(page)).size).toBe(1);
      await writeLossless(page);
      expect(await written(page)).toBe(plain);
      expect(await page.locator("#rounds").textContent()).toMatch(
        /\d+ rounds: \d+ tokens drafted by exits, \d+ accepted/,
      );
    }));

  it("measures each mode of writing, and counts the cost of a text", () =>
    withText(async (page) => {
      await page.locator("#compare:enabled").click();
      await says(page, "interleaved runs");
      expect(await page.locator("#timings tbody th").allTextContents()).toEqual(["plain", "with exits", "lossless"]);
      expect(await page.locator("#timings").textContent()).toMatch(/With exits .*\d\.\d\d times as fast/);
      expect(await page.locator("#price").textContent()).toMatch(
        /^Price: this prompt is written \d\.\d\d times as fast/,
      );
      expect(await page.locator("#ledger tbody th").allTextContents()).toEqual([
        "blocks run",
        "exit heads asked",
        "multiply-adds",
        "weights read",
      ]);
    }));

  it("stops when asked, at its first token, and goes on", () =>
    withText(async (page) => {
      await page.getByRole("checkbox", { name: "Slow motion" }).check();
      await page.getByRole("spinbutton", { name: "Tokens" }).fill("200"); // 8 seconds in slow motion
      await pressAtFirst(page, "#text .token", "#stop");
      await press(page, "Write");
      await says(page, "Stopped.");
      expect((await depthsOf(page)).length).toBeLessThan(200);
      await page.getByRole("checkbox", { name: "Slow motion" }).uncheck();
      await press(page, "Write");
      await expect.poll(async () => (await depthsOf(page)).length, { timeout: PATIENCE }).toBe(200);
    }));
});

describe("your own folder", () => {
  it("opens when dropped, with its heads and policy, and the embedded model can be restored", () =>
    withText(async (page) => {
      await drop(page, folder("complete"));
      await says(page, /Your model: .*Exit heads after blocks/);
      await written(page);
      expect(new Set(await depthsOf(page)).size).toBeGreaterThan(1);
      expect(await page.getByRole("radio", { name: "Your files" }).isChecked()).toBe(true);
      await choose(page, "Embedded");
      await says(page, /The embedded model: /);
    }));

  it("without heads writes in plain mode only", () =>
    withText(async (page) => {
      await page.locator("#folder").setInputFiles(folder("plain"));
      await says(page, "No exit heads: it can only write plainly.");
      expect(await page.getByRole("radio", { name: /^Lossless/ }).isDisabled()).toBe(true);
      await written(page);
    }));

  it("without heads gets those that come with the page for its model, with their certificates", () =>
    withPage(async (page) => {
      const { modelHash } = operatingPoints.points[0]!.certified.policy;
      // The page has exits for other models only; here it has the embedded model's own for a copy of that.
      const exits = [{ name: "copy", modelHash, folder: "../model/" }];
      await page.context().route("**/exits/index.json", (route) => route.fulfill({ json: { exits } }));
      await written(page);
      await drop(page, folder("plain"));
      await says(page, /Your model: .*Exit heads after blocks 3, 6, which come with this page\./);
      await written(page);
      expect(new Set(await depthsOf(page)).size).toBe(3);
      expect(await page.locator("#promise").textContent()).toMatch(/^Certified: at least 90\s%/);
      await checkCertificate(page);
    }));

  it("whose weights are stored in another way than the certificate says is told so", () =>
    withText(async (page) => {
      await page.getByLabel("Weights stored as").selectOption("bfloat16");
      await says(page, "Not certified here: the certificate is for weights stored as float32");
      await written(page);
      await press(page, "What is certified?");
      await says(page, "Nothing: these thresholds have no certificate for what runs here.");
    }));

  it("that is broken is rejected with a message, and the previous model stays", () =>
    withText(async (page) => {
      await drop(page, folder("broken"));
      const alert = page.getByRole("alert");
      await expect.poll(() => alert.textContent(), { timeout: PATIENCE }).toContain("safetensors: the header claims");
      await press(page, "Write");
      await expect.poll(() => alert.textContent(), { timeout: PATIENCE }).toBe("");
      expect((await written(page)).length).toBeGreaterThan(10);
    }));
});

describe("the device menu", () => {
  it("offers threads if the page is cross-origin isolated, and says what really runs", () =>
    withText(
      async (page) => {
        const menu = page.getByLabel("Device", { exact: true });
        const labels = await menu.locator("option").allTextContents();
        await menu.selectOption({ label: labels.find((label) => /\d threads/.test(label))! });
        await page.locator("#device-runs", { hasText: /wasm: .* threads/ }).waitFor();
        expect((await written(page)).length).toBeGreaterThan(10);
      },
      { isolated: true },
    ));

  it("says why there are none otherwise", () =>
    withText(async (page) => {
      const option = page.locator("#device option", { hasText: "not cross-origin isolated" });
      expect(await option.isDisabled()).toBe(true);
      expect(await page.locator("#device-runs").textContent()).toMatch(
        /^wasm: WebAssembly SIMD \(fused multiply-add\), 1 thread$/,
      );
    }));
});
