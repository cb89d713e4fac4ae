/** The committed drawings are those that `npm run drawings` makes, and the layers that they name exist. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, expect, it, test } from "vitest";
import { ENTRIES, LAYERS } from "../../lab/drawings/architecture.js";
import { drawings } from "../../lab/drawings/index.js";
import { wrapText } from "../../lab/drawings/measure-text.js";
import { box, label, WIDTH } from "../../lab/drawings/shapes.js";

describe.each(Object.entries(drawings))("docs/figures/%s.svg", (name, draw) => {
  it("is what the script draws; to change it: npm run drawings", () => {
    expect(readFileSync(`docs/figures/${name}.svg`, "utf8")).toBe(draw());
  });

  it("has a title and a description for readers who cannot see it", () => {
    expect(draw()).toMatch(/<title id="title">[^<]{20,}<\/title>\n<desc id="description">[^<]{100,}<\/desc>/);
  });
});

test("every drawing in docs/figures is made by the script", () => {
  const committed = readdirSync("docs/figures").filter((file) => file.startsWith("drawing-"));
  expect(committed).toEqual(
    Object.keys(drawings)
      .map((name) => `${name}.svg`)
      .sort(),
  );
});

test.each([...LAYERS, ...ENTRIES].flatMap(({ name, rooms = [] }) => rooms.map((room) => `src/${name}/${room}`)))(
  "the room %s of the architecture exists",
  (path) => expect(existsSync(path)).toBe(true),
);

test.each([...LAYERS, ...ENTRIES])("the layer $name of the architecture exists", ({ name }) => {
  expect(existsSync(`src/${name}`) || existsSync(`src/${name}.ts`)).toBe(true);
});

test("text breaks at spaces, and a word that is too wide is rejected", () => {
  const font = { size: 10, bold: false };
  expect(wrapText("one two three\nfour", 50, font)).toEqual(["one two", "three", "four"]);
  expect(() => wrapText("unembedding", 50, font)).toThrow('"unembedding" is wider than 50 px');
});

test("text that leaves its box or the drawing is rejected", () => {
  expect(() => box({ x: 0, y: 0, width: 60, height: 20 }, { body: "one two three" })).toThrow("needs 46 px of height");
  expect(() => label({ x: WIDTH - 10, y: 0 }, "outside")).toThrow('"outside" leaves the drawing');
});
