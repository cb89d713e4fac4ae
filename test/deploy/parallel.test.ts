/** deploy/parallel.sh under GNU parallel: shards of one machine, and their result. */
import { execFile } from "node:child_process";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { pipeline, sentences, succeed, words, writeText } from "../cli/support.js";

const { folder, heads, model } = await pipeline();

const run = promisify(execFile);
/** Starts early-exits; its own path has no blanks, whatever this folder's has. */
const launcher = folder.path("early-exits.sh");
writeFileSync(launcher, `#!/bin/bash\nexec "${process.execPath}" "${resolve("dist/apps/cli/main.js")}" "$@"\n`, {
  mode: 0o755,
});
const environment = { ...process.env, EARLY_EXITS: launcher, JOBS: "2" };

it("makes the file of one process, with blanks in names; started again, it makes what is missing", async () => {
  const text = writeText(folder.path("held out text.txt"), sentences(24, 500));
  const [one, merged, store] = ["one.json", "merged file.json", "all records"].map((name) => folder.path(name));
  const line = words`
    calibrate ${model} --heads ${heads} --text ${text} --agreement .3 --fill project --device reference`;
  await succeed(words`${line} --out ${one!}`);
  const script = resolve("deploy/parallel.sh");
  const asked = [["3", store!, merged!, ...line], { env: { ...environment, ROUNDS: "2" } }] as const;
  await run(script, ...asked);
  expect(readFileSync(merged!, "utf8")).toBe(readFileSync(one!, "utf8"));
  const kept = readdirSync(store!);
  expect(kept.length).toBeGreaterThan(24);
  for (const name of kept.slice(10)) rmSync(join(store!, name));
  rmSync(merged!);
  await run(script, ...asked);
  expect(readFileSync(merged!, "utf8")).toBe(readFileSync(one!, "utf8"));
  expect(readdirSync(store!)).toEqual(kept);
});

it("fails if a shard fails", async () => {
  const line = words`calibrate ${model} --heads ${heads} --text ${folder.path("nothing.txt")} --device reference`;
  const failed = run(resolve("deploy/parallel.sh"), ["2", folder.path("none"), folder.path("none.json"), ...line], {
    env: environment,
  });
  await expect(failed).rejects.toMatchObject({ stderr: expect.stringContaining("nothing.txt") as string });
});
