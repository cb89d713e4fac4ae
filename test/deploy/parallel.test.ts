/** deploy/parallel.sh under GNU parallel: shards of one machine, merged. */
import { execFile } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, expect, it } from "vitest";
import { pipeline, sentences, succeed, words, writeText } from "../cli/support.js";

const { folder, heads, model } = await pipeline();
afterAll(folder.remove);

const run = promisify(execFile);
/** Starts early-exits; its own path has no blanks, whatever this folder's has. */
const launcher = folder.path("early-exits.sh");
writeFileSync(launcher, `#!/bin/bash\nexec "${process.execPath}" "${resolve("dist/cli/main.js")}" "$@"\n`, {
  mode: 0o755,
});
const environment = { ...process.env, EARLY_EXITS: launcher, JOBS: "2" };

it("makes the file of one process, with blanks in names; started again, it makes what is missing", async () => {
  const text = writeText(folder.path("held out text.txt"), sentences(24, 500));
  const [one, merged, parts] = ["one.json", "merged file.json", "all parts"].map((name) => folder.path(name));
  const line = words`calibrate ${model} --heads ${heads} --text ${text} --agreement .3 --device reference`;
  await succeed(words`${line} --fill project --out ${one!}`);
  const script = resolve("deploy/parallel.sh");
  const asked = [
    ["3", parts!, merged!, ...line, "--fill", "project"],
    { env: { ...environment, ROUNDS: "2" } },
  ] as const;
  await run(script, ...asked);
  expect(readFileSync(merged!, "utf8")).toBe(readFileSync(one!, "utf8"));
  rmSync(join(parts!, "runs-00001-of-00003", "complete.json"));
  rmSync(merged!);
  await run(script, ...asked);
  expect(readFileSync(merged!, "utf8")).toBe(readFileSync(one!, "utf8"));
});

it("fails if a shard fails", async () => {
  const line = words`calibrate ${model} --heads ${heads} --text ${folder.path("nothing.txt")} --device reference`;
  const failed = run(resolve("deploy/parallel.sh"), ["2", folder.path("none"), folder.path("none.json"), ...line], {
    env: environment,
  });
  await expect(failed).rejects.toMatchObject({ stderr: expect.stringContaining("nothing.txt") as string });
});
