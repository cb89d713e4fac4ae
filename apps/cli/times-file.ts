/**
 * Unit times in a file (`plan --times`): no two measurements are equal, so every process ranks policies by the same
 * one.
 */
import { OptionError } from "early-exits";
import type { UnitTimes } from "early-exits/exits";
import { readJson, writeFileAtomic } from "early-exits/node";

const FORMAT = { format: "early-exits/unit-times", version: 1 } as const;

export async function writeTimes(file: string, times: UnitTimes): Promise<void> {
  await writeFileAtomic(file, `${JSON.stringify({ ...FORMAT, ...times }, undefined, 2)}\n`);
}

/** Throws an OptionError if the file holds none for so many exits. */
export async function readTimes(file: string, exits: number): Promise<UnitTimes> {
  const { format, version, ...times } = ((await readJson(file)) ?? {}) as Partial<UnitTimes & typeof FORMAT>;
  const isCost = (value: unknown) => typeof value === "number" && value >= 0;
  const byRows = (value: unknown) =>
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((one: Partial<Record<string, unknown>> | null) => isCost(one?.["rows"]) && isCost(one?.["cost"]));
  const byExit = (value: unknown, legal: (one: unknown) => boolean) =>
    Array.isArray(value) && value.length === exits && value.every(legal);
  const legal =
    format === FORMAT.format &&
    version === FORMAT.version &&
    byRows(times.block) &&
    byRows(times.finalHead) &&
    byExit(times.heads, isCost) &&
    byExit(times.fills, (one) => isCost((one as { readonly cost?: unknown } | null)?.cost));
  if (legal) return times as UnitTimes;
  throw new OptionError(
    "times-malformed",
    `${file}: expected unit times of ${exits} exits, as early-exits plan --times writes them for these heads`,
    { file, exits },
  );
}
