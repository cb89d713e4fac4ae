/** Files of prompts, and modules of losses: what is none is refused at once, with its name and line. */
import { execFileSync } from "node:child_process";
import { truncateSync, writeFileSync } from "node:fs";
import { expect, it } from "vitest";
import { openLoss, readTasks } from "../../apps/cli/answers.js";
import { expectCode } from "../support/expect-code.js";
import { scratch } from "../support/scratch.js";

const folder = scratch();
const good = '{"prompt": "Why?", "expected": {"pattern": "^b", "flags": "i"}}';
const written = (name: string, text: string) => {
  writeFileSync(folder.path(name), text);
  return folder.path(name);
};
const pipe = folder.path("pipe.mjs");
execFileSync("mkfifo", [pipe]);
const large = written("large.jsonl", good);
truncateSync(large, 2 ** 28 + 1);

it.for([
  [pipe, "file-irregular"],
  ["/dev/zero", "file-irregular"],
  [folder.path(), "file-irregular"],
  [folder.path("missing"), "file-missing"],
  [large, "file-too-large"],
  [written("empty", "\n"), "documents-few"],
  ...["{", "null", '{"expected": "b"}', '{"prompt": "", "expected": {"pattern": "("}}'].map(
    (line, i) => [written(`broken-${i}`, `${good}\n\n${line}`), "json-malformed", ", line 3:"] as const,
  ),
] as const)("prompts are not read from %s: %s", ([path, code, where = ":"]) =>
  expectCode(readTasks(path), code, `${path}${where}`),
);

it.for([pipe, folder.path("missing"), written("throws.mjs", "throw 7"), written("number.mjs", "export default 7")])(
  "no loss is loaded from %s",
  (path) => expectCode(openLoss(path), "loss-module", `--loss ${path}: it`),
);

it("prompts are text or messages, with patterns", async () => {
  const messages = '{"messages": [{"role": "user", "content": "Why?"}], "group": "a"}';
  expect(await readTasks(written("good", `\ufeff${good}\n${messages}\n`))).toEqual([
    { prompt: "Why?", expected: /^b/i },
    { prompt: [{ role: "user", content: "Why?" }], group: "a" },
  ]);
});
