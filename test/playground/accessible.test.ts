/** The playground with the keyboard and with a screen reader; axe-core finds nothing. */
import { describe, expect, it } from "vitest";
import { findings } from "../support/watched-page.js";
import { ask, choose, drop, folder, idle, press, race, withText, writeLossless } from "./support.js";

describe("axe-core finds nothing", () => {
  it.each([
    ["light", 1280],
    ["dark", 390],
  ] as const)("%s at %i pixels, with a token chosen, a race run and every part open", (colorScheme, width) =>
    withText(
      async (page) => {
        await writeLossless(page);
        await page.locator("#text .token").nth(3).click();
        await race(page);
        await page.getByText("The numbers").click();
        await choose(page, "Hub or address");
        await page.locator("#curve svg").waitFor();
        expect(await findings(page)).toEqual([]);
        await press(page, "What is certified?");
        await page.getByRole("dialog", { name: "What is certified?" }).waitFor();
        expect(await findings(page)).toEqual([]);
      },
      { colorScheme, viewport: { width, height: 900 } },
    ),
  );

  it("while a model talks", () =>
    withText(async (page) => {
      await drop(page, folder("talking"));
      await ask(page, "The state of the Union");
      await page.locator("#chat-status", { hasText: "cached" }).waitFor();
      expect(await findings(page)).toEqual([]);
    }));

  it("would find a button without a name", () =>
    withText(async (page) => {
      await page.evaluate(() => document.querySelector("main")!.append(document.createElement("button")));
      expect(await findings(page)).toEqual(["critical button-name: main > button"]);
    }));
});

describe("the keyboard", () => {
  it("reaches every control, in the order of the page, and sees where it is", () =>
    withText(async (page) => {
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
    withText(async (page) => {
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
