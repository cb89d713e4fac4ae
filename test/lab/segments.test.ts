/** The segments of the corpus that the embedded model was trained on. */
import { expect, it } from "vitest";
import { sampleSegments, segmentsOf } from "../../lab/ship/segments.js";
import { times } from "../support/lists.js";

const sentence = "This is one sentence of a speech, a little over sixty letters. ";

it("end at sentence ends, hold all of the text, and are long enough", () => {
  const text = sentence.repeat(47).trim();
  const segments = segmentsOf({ title: "1900 X", text }).map((segment) => segment.text);
  expect(segments.join(" ")).toBe(text);
  expect(segments.every((segment) => segment.endsWith(".") && segment.length >= 300 && segment.length < 1000)).toBe(
    true,
  );
  expect(segmentsOf({ title: "short", text: "Thank you." })).toEqual([{ title: "short", text: "Thank you." }]);
});

it("are drawn from all speeches in turn, the same for the same seed", () => {
  const speeches = times(5, (i) => ({ title: String(i), text: sentence.repeat(60) }));
  const drawn = sampleSegments(speeches, 12, 3);
  expect(drawn.length).toBe(12);
  expect(new Set(drawn.slice(0, 5).map(({ title }) => title)).size).toBe(5);
  expect(sampleSegments(speeches, 12, 3)).toEqual(drawn);
});
