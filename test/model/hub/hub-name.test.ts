/** The parts of names of the Hub, and strings that are not names. */
import { hubUrl, isSafePath } from "../../../src/model/hub/hub-name.js";
import { isHubName, parseHubName } from "early-exits/model";
import { expectCode } from "../../support/expect-code.js";
import { expect, it } from "vitest";
import { fc, test } from "../../support/property.js";

const main = { revision: "main" };

test.each([
  ["org/name", { repo: "org/name", ...main }],
  ["hub:org/name", { repo: "org/name", ...main }],
  ["HuggingFaceTB/SmolLM2-135M-Instruct", { repo: "HuggingFaceTB/SmolLM2-135M-Instruct", ...main }],
  ["org/name@v1.0", { repo: "org/name", revision: "v1.0" }],
  ["org/name@refs/pr/1", { repo: "org/name", revision: "refs/pr/1" }],
  ["org/name@feature/fast", { repo: "org/name", revision: "feature/fast" }],
  ["org/name/model-q4.gguf", { repo: "org/name", ...main, file: "model-q4.gguf" }],
  ["org/name/q4/model.GGUF", { repo: "org/name", ...main, file: "q4/model.GGUF" }],
  ["org/name@v1/q4/model.gguf", { repo: "org/name", revision: "v1", file: "q4/model.gguf" }],
  ["org/name@refs/pr/1/model.gguf", { repo: "org/name", revision: "refs/pr/1", file: "model.gguf" }],
  ["org/name@feature%2Ffast/model.gguf", { repo: "org/name", revision: "feature/fast", file: "model.gguf" }],
])("%s is a name", (name, meaning) => {
  expect(parseHubName(name)).toEqual(meaning);
  expect(isHubName(name)).toBe(true);
});

test.each([
  ["gpt2", "expected an organisation and a name"],
  ["org/", "expected an organisation and a name"],
  ["/org/name", "expected an organisation and a name"],
  ["./models/mine", '"./models" is not a valid name'],
  ["~/models", '"~/models" is not a valid name'],
  ["org/na me", '"org/na me" is not a valid name'],
  ["org/a--b", '"org/a--b" is not a valid name'],
  ["org/name.git", '"org/name.git" is not a valid name'],
  [`org/${"n".repeat(100)}`, "is not a valid name"],
  ["org/name@", '"" cannot be a revision'],
  ["org/name@../../x", '"../../x" cannot be a revision'],
  ["org/name@..%2F..%2Fx/a.gguf", '"../../x" cannot be a revision'],
  ["org/name/", "it ends with a slash"],
  ["org/name/model.bin", '"model.bin" is not a GGUF file'],
  ["org/name/../x.gguf", '"../x.gguf" cannot be a file'],
  ["org/name/a\\..\\x.gguf", "cannot be a file"],
  ["org/name/C:x.gguf", "cannot be a file"],
])("%s is not a name", async (name, problem) => {
  await expectCode(() => parseHubName(name), "hub-name", problem);
  expect(isHubName(name)).toBe(false);
});

it("a string that begins with hub: counts as a name, so that parsing it reports what is wrong", () => {
  expect(isHubName("hub:gpt2")).toBe(true);
  expect(() => parseHubName("hub:gpt2")).toThrow("expected an organisation and a name");
});

const piece = fc.constantFrom("..", ".", "/", "\\", "@", "%2F", "a", "b.gguf", "refs", "hub:", "C:", "\0", " ");
test.prop([fc.array(piece, { maxLength: 12 })])("no name leads out of the cache", (pieces) => {
  const name = `org/name${pieces.join("")}`;
  if (!isHubName(name)) return;
  const { repo, revision, file = "x" } = parseHubName(name);
  for (const path of [repo, revision, file]) expect(isSafePath(path)).toBe(true);
});

it("hubUrl returns the address of the folder with a trailing slash, or of the file", () => {
  expect(hubUrl("hub:org/name")).toBe("https://huggingface.co/org/name/resolve/main/");
  expect(hubUrl("org/name@refs/pr/1/a b.gguf")).toBe(
    "https://huggingface.co/org/name/resolve/refs%2Fpr%2F1/a%20b.gguf",
  );
});
