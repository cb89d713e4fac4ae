/** Which share is whose: told, or asked of the engine. */
import { between, fc, test } from "../support/property.js";
import { describe, expect, it } from "vitest";
import { readShard, shareOf } from "../../apps/cli/shards.js";
import { times } from "../support/lists.js";
import { expectCode } from "../support/expect-code.js";

describe("readShard", () => {
  it.each([
    ["0/8", {}, { index: 0, of: 8 }],
    ["7/8", { SLURM_ARRAY_TASK_ID: "2", SLURM_ARRAY_TASK_COUNT: "4" }, { index: 7, of: 8 }],
    ["auto", { SLURM_ARRAY_TASK_ID: "2", SLURM_ARRAY_TASK_COUNT: "4" }, { index: 2, of: 4 }],
    ["auto", slurmArray(3, 1, 4), { index: 2, of: 4 }],
    ["auto", { AWS_BATCH_JOB_ARRAY_INDEX: "0", AWS_BATCH_JOB_ARRAY_SIZE: "2" }, { index: 0, of: 2 }],
    ["auto", { RANK: "5", WORLD_SIZE: "6" }, { index: 5, of: 6 }],
    ["auto/8", { JOB_COMPLETION_INDEX: "3" }, { index: 3, of: 8 }],
    ["auto/6", { RANK: "5", WORLD_SIZE: "6" }, { index: 5, of: 6 }],
    ["auto", { JOB_COMPLETION_INDEX: "1", RANK: "1", WORLD_SIZE: "2" }, { index: 1, of: 2 }],
    ["auto", { RANK: "", WORLD_SIZE: "", ...slurmArray(0, 0, 0) }, { index: 0, of: 1 }],
  ])("%s in %j", (text, environment, shard) => expect(readShard(text, environment)).toEqual(shard));

  it.each([
    ["", {}, "shard-malformed"],
    ["3", {}, "shard-malformed"],
    ["-1/3", {}, "shard-malformed"],
    ["auto/", {}, "shard-malformed"],
    ["3/3", {}, "shard-range"],
    ["0/0", {}, "shard-range"],
    ["auto", {}, "shard-untold"],
    ["auto", { JOB_COMPLETION_INDEX: "3" }, "shard-count"],
    ["auto/2", { JOB_COMPLETION_INDEX: "3" }, "shard-range"],
    ["auto/8", { RANK: "5", WORLD_SIZE: "6" }, "shard-contradicted"],
    ["auto", { ...slurmArray(1, 0, 3), RANK: "0", WORLD_SIZE: "4" }, "shard-contradicted"],
    ["auto", { RANK: "1", WORLD_SIZE: "many" }, "shard-malformed"],
    ["auto", { ...slurmArray(4, 0, 6), SLURM_ARRAY_TASK_COUNT: "4" }, "shard-gaps"],
  ])("refuses %j in %j: %s", (text, environment, code) => expectCode(() => readShard(text, environment), code));
});

test.prop([between(1, 40), fc.nat(200)])(
  "each unit is in one shard, and shards differ by one unit at most",
  (of, count) => {
    const units = times(count, (unit) => unit);
    const shares = times(of, (index) => shareOf(units, { index, of }));
    expect(shares.flat().sort((a, b) => a - b)).toEqual(units);
    const sizes = shares.map(({ length }) => length);
    expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
  },
);

/** Variables that Slurm sets for a task of --array=first-last. */
function slurmArray(id: number, first: number, last: number) {
  const set = { ID: id, COUNT: last - first + 1, MIN: first, MAX: last };
  return Object.fromEntries(Object.entries(set).map(([name, value]) => [`SLURM_ARRAY_TASK_${name}`, String(value)]));
}
