/** The playground with the keyboard and with a screen reader; axe-core finds nothing. */
import { describe, expect, it } from "vitest";
import { findings } from "../support/watched-page.js";
import { drop, idle, usePlayground, written } from "./support.js";

const { withPage, folder } = usePlayground();

describe("axe-core finds nothing", () => {
  it.each([
    ["light", 1280],
    ["dark", 1280],
    ["light", 390],
    ["dark", 390],
  ] as const)("%s at %i pixels, with a token chosen, a race run and every part open", (colorScheme, width) =>
    withPage(
      async (page) => {
        await written(page);
        await page.getByRole("radio", { name: /^Lossless/ }).check();
        await page.locator("#rounds li").first().waitFor();
        await idle(page);
        await page.locator("#text .token").nth(3).click();
        await page.getByRole("button", { name: "Start the race" }).click();
        await page.locator("#race-status", { hasText: "times as fast in this race" }).waitFor();
        await page.getByText("The numbers").click();
        await page.getByRole("radio", { name: "Hub or address" }).check();
        await page.locator("#curve svg").waitFor();
        expect(await findings(page)).toEqual([]);
        await page.getByRole("button", { name: "What is certified?" }).click();
        await page.getByRole("dialog", { name: "What is certified?" }).waitFor();
        expect(await findings(page)).toEqual([]);
      },
      { colorScheme, viewport: { width, height: 900 } },
    ),
  );

  it("while a model talks", () =>
    withPage(async (page) => {
      await written(page);
      await drop(page, folder("talking"));
      await page.getByRole("textbox", { name: "Message" }).fill("The state of the Union");
      await page.getByRole("textbox", { name: "Message" }).press("Enter");
      await page.locator("#chat-status", { hasText: "cached" }).waitFor();
      expect(await findings(page)).toEqual([]);
    }));

  it("would find a button without a name", () =>
    withPage(async (page) => {
      await written(page);
      await page.evaluate(() => document.querySelector("main")!.append(document.createElement("button")));
      expect(await findings(page)).toEqual(["critical button-name: main > button"]);
    }));
});

describe("the keyboard", () => {
  it("reaches every control, in the order of the page, and sees where it is", () =>
    withPage(async (page) => {
      await written(page);
      await idle(page);
      await page.evaluate(() => {
        const { activeElement } = document;
        if (activeElement instanceof HTMLElement) activeElement.blur();
        window.scrollTo(0, 0);
      });
      const reached: string[] = [];
      for (let i = 0; i < 60; i++) {
        await page.keyboard.press("Tab");
        const at = await page.evaluate(() => {
          const { activeElement: active } = document;
          if (active === null || active === document.body) return undefined;
          const { outlineStyle, outlineWidth } = getComputedStyle(active);
          const name = active.id || (active.classList.contains("token") ? "token" : active.textContent.trim());
          return { name, visible: outlineStyle !== "none" && parseFloat(outlineWidth) > 0 };
        });
        if (at === undefined) break;
        expect(at, at.name).toMatchObject({ visible: true });
        reached.push(at.name);
      }
      const wanted = ["token", "copy-text", "copy-link", "prompt", "agreement", "certificate-open", "write"];
      const later = ["race-start", "device", "dtype", "compare"];
      expect(reached.filter((name) => [...wanted, ...later].includes(name))).toEqual([...wanted, ...later]);
    }));

  it("opens and closes the panel, and the focus returns", () =>
    withPage(async (page) => {
      await written(page);
      const button = page.getByRole("button", { name: "What is certified?" });
      await button.focus();
      await page.keyboard.press("Enter");
      const dialog = page.getByRole("dialog", { name: "What is certified?" });
      await dialog.waitFor();
      await page.keyboard.press("Escape");
      await dialog.waitFor({ state: "hidden" });
      expect(await button.evaluate((element) => element === document.activeElement)).toBe(true);
    }));
});
