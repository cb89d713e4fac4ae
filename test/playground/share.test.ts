/** Links that carry settings, presets, and copying. */
import { describe, expect, it } from "vitest";
import { linkTo, type Settings, settingsIn } from "../../playground/src/settings.js";
import { choose, idle, PATIENCE, press, PROMPT, withPage, withText, written, says } from "./support.js";
import { between, fc, real, test } from "../support/property.js";

describe("a link", () => {
  const settings = fc.record<Settings>({
    prompt: fc.string({ unit: "grapheme", maxLength: 60 }),
    mode: fc.constantFrom("plain", "exits", "lossless"),
    agreement: real(0, 1),
    procedure: fc.constantFrom("certified", "paper"),
    tokens: between(1, 512),
    temperature: real(0, 2),
    seed: between(0, 2 ** 31 - 1),
    model: fc.string({ unit: "grapheme", minLength: 1, maxLength: 60 }),
  });

  test.prop([settings])("gives back the settings that it was made from", (given) => {
    const link = linkTo("https://example.org/some/page/?x=1#old", given);
    expect(link.startsWith("https://example.org/some/page/?x=1#")).toBe(true);
    const plain = { ...given, agreement: given.agreement + 0, temperature: given.temperature + 0 }; // -0 is 0
    expect(settingsIn(new URL(link).hash)).toEqual(plain);
  });

  const words = fc.dictionary(
    fc.constantFrom("prompt", "mode", "agreement", "procedure", "tokens", "temperature", "seed", "model", "other"),
    fc.oneof(fc.string(), fc.double().map(String), fc.constant("Infinity"), fc.constant("")),
  );
  test.prop([words])("by anybody gives legal settings only", (given) => {
    const found = settingsIn(`#${new URLSearchParams(given).toString()}`);
    expect(found).not.toHaveProperty("other");
    const { tokens = 1, agreement = 0, temperature = 0, seed = 0, mode = "plain", procedure = "paper" } = found;
    expect([tokens >= 1 && tokens <= 512, agreement >= 0 && agreement <= 1]).toEqual([true, true]);
    expect([temperature >= 0 && temperature <= 2, Number.isInteger(seed) && seed >= 0]).toEqual([true, true]);
    expect(["plain", "exits", "lossless"]).toContain(mode);
    expect(["certified", "paper"]).toContain(procedure);
  });

  it("that was copied opens the page as it was", async () => {
    let link = "";
    let text = "";
    const permissions = ["clipboard-read", "clipboard-write"];
    await withText(
      async (page) => {
        await page.getByRole("textbox", { name: "Prompt" }).fill("My fellow citizens");
        await page.getByRole("spinbutton", { name: "Tokens" }).fill("30");
        await page.getByRole("slider", { name: /^Minimum agreement/ }).press("End");
        await choose(page, /^Lossless/);
        await says(page, "Draft, verify, accept");
        await idle(page);
        text = (await page.locator("#text").textContent())!;
        await press(page, "Copy a link");
        await says(page, "The link is copied.");
        link = await page.evaluate(() => navigator.clipboard.readText());
        expect(await page.getByRole("textbox", { name: "Link to these settings" }).inputValue()).toBe(link);
        await press(page, "Copy the text");
        await says(page, "The text is copied.");
        const copied = await page.evaluate(() => navigator.clipboard.readText());
        expect(copied).toBe(text.replaceAll("\u200b", ""));
      },
      { permissions },
    );
    await withPage(
      async (page) => {
        await says(page, "Draft, verify, accept");
        expect(await page.locator("#text").textContent()).toBe(text);
        expect(await page.locator("#agreement-value").textContent()).toMatch(/^99\s%$/);
        expect(await page.getByRole("radio", { name: /^Lossless/ }).isChecked()).toBe(true);
        expect(await page.getByRole("spinbutton", { name: "Tokens" }).inputValue()).toBe("30");
      },
      { hash: new URL(link).hash },
    );
  });

  it("can be selected where the page may not copy", () =>
    withText(async (page) => {
      await page.evaluate(() => {
        navigator.clipboard.writeText = () => Promise.reject(new Error("not allowed"));
      });
      await press(page, "Copy a link");
      await says(page, "This browser does not let the page copy.");
      const field = page.getByRole("textbox", { name: "Link to these settings" });
      const selected = await field.evaluate((input) => {
        const { selectionStart, selectionEnd, value } = input as HTMLInputElement;
        return value.slice(selectionStart!, selectionEnd!);
      });
      expect(selected).toBe(await field.inputValue());
      expect(selected).toContain("#prompt=The+people");
    }));

  it("to another model names it, and fetches nothing unasked", () =>
    withPage(
      async (page) => {
        await says(page, "The link is for the model hub:someone/large.");
        expect(await written(page)).not.toBe("");
        expect(await page.getByRole("textbox", { name: /^Name on the Hugging Face Hub/ }).inputValue()).toBe(
          "hub:someone/large",
        );
      },
      { hash: "#model=hub%3Asomeone%2Flarge" }, // `withPage` fails if the page asks any other server
    ));
});

it("a preset sets all that it depends on, and writes", () =>
  withText(
    async (page) => {
      const field = page.getByRole("textbox", { name: "Prompt" });
      for (const [name, level, mode] of [
        ["Certified at 90 %", /^90\s%$/, "exits"],
        ["Cautious, at 99 %", /^99\s%$/, "exits"],
        ["Lossless", /^90\s%$/, "lossless"],
        ["As published", /^90\s%$/, "exits"],
        ["Sampled, certified", /^90\s%$/, "exits"],
      ] as const) {
        await field.fill("Something else");
        await page.getByRole("link", { name, exact: true }).click();
        await expect.poll(() => field.inputValue(), { timeout: PATIENCE }).not.toBe("Something else");
        await idle(page);
        expect(await page.locator("#agreement-value").textContent()).toMatch(level);
        expect(await page.locator(`input[name=mode][value=${mode}]`).isChecked(), name).toBe(true);
        expect((await page.locator("#text").textContent())!.startsWith(await field.inputValue())).toBe(true);
        expect(await page.locator("#text .token").count()).toBeGreaterThan(0);
      }
      await says(page, /^Certified: .*temperature 0\.8, topP 0\.95/);
    },
    { hash: "#prompt=Something+else&mode=plain&agreement=0.8&seed=3" },
  ));

it("the page's own prompt is the one that tests expect", () =>
  withPage(async (page) => expect(await page.getByRole("textbox", { name: "Prompt" }).inputValue()).toBe(PROMPT)));
