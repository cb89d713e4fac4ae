/**
 * Many attacks of a kind, from a seed: counts of their outcomes, the slowest, and the most memory that one took. The
 * process's peak shows an attack's memory if it is a new peak; before each one the garbage of the others is collected.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { judge, type JudgeOptions } from "./judge.js";

export interface Campaign {
  readonly name: string;
  readonly seed: number;
  readonly attacks: number;
  readonly succeeded: number;
  readonly refused: number;
  /** Refusals by their codes. */
  readonly codes: Readonly<Record<string, number>>;
  readonly slowestMilliseconds: number;
  /** Bytes above what the process used before the attack and the size of its files. */
  readonly mostBytes: number;
}

interface CampaignOptions extends JudgeOptions {
  readonly attacks: number;
  readonly seed: number;
}

/** An attack that is ready: its files are made, which is no part of it. */
interface ReadyAttack {
  readonly run: () => unknown;
  /** Bytes of its files. */
  readonly bytes: number;
}

const LIMIT = 300e6;

/** The most that the process has had; Node gives kilobytes. */
const peakBytes = (): number => process.resourceUsage().maxRSS * 1024;

/** Runs the attacks. Throws an Error with the seed and the counterexample if one has a wrong outcome. */
export async function runCampaign<T>(
  name: string,
  arbitrary: fc.Arbitrary<T>,
  prepare: (hostile: T) => Promise<ReadyAttack>,
  { attacks, seed, ...options }: CampaignOptions,
): Promise<Campaign> {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const codes: Record<string, number> = {};
  let succeeded = 0;
  let slowest = 0;
  let most = 0;
  const property = fc.asyncProperty(arbitrary, async (hostile) => {
    const { run, bytes } = await prepare(hostile);
    collect();
    const before = process.memoryUsage().rss;
    const highest = peakBytes(); // preparing may have been what took it there
    const { verdict, code, milliseconds } = await judge(run, options);
    const peak = peakBytes();
    const grown = peak > highest ? Math.max(0, peak - before - bytes) : 0;
    if (grown > LIMIT) throw new Error(`it took ${(grown / 1e6).toFixed(0)} MB above its files of ${bytes} bytes`);
    slowest = Math.max(slowest, milliseconds);
    most = Math.max(most, grown);
    if (verdict === "succeeded") succeeded++;
    else codes[code ?? "none"] = (codes[code ?? "none"] ?? 0) + 1;
  });
  await fc.assert(property, { numRuns: attacks, seed, endOnFailure: true });
  return {
    name,
    seed,
    attacks,
    succeeded,
    refused: attacks - succeeded,
    codes,
    slowestMilliseconds: slowest,
    mostBytes: most,
  };
}
