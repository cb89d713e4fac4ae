/** A policy timed for seconds against plain decoding, in turn on the same prompts, for a verdict. */
import type { ExitHeads, Policy } from "early-exits";
import { compareWays, type WayResult } from "early-exits/evaluate";
import type { SamplingSettings } from "./options.js";
import type { Io } from "./io.js";
import { withProgress } from "./progress.js";

const TOKENS = 48;
/** Texts of each way at least; seconds after which no further one begins. */
const RUNS = 16;
const SECONDS = 16;
const PROMPTS = 8;

/** Returns undefined without a prompt. */
export async function raceExits(
  heads: ExitHeads,
  certified: Policy,
  prompts: readonly (readonly number[])[],
  { temperature = 0, topK = 0 }: SamplingSettings,
  io: Io,
): Promise<readonly [plain: WayResult, exits: WayResult] | undefined> {
  const policy: { -readonly [K in keyof Policy]: Policy[K] } = { ...certified };
  delete policy.certified; // whatever sampling it is certified for: only time counts here
  const used = prompts.filter((ids) => ids.length > 0).slice(0, PROMPTS);
  if (used.length === 0) return undefined;
  const room = heads.model.config.maxPositionEmbeddings - Math.max(...used.map((ids) => ids.length));
  const ways = [
    { name: "plain", options: {} },
    { name: "exits", options: { policy } },
  ];
  const { results } = await withProgress(io, "time", (report) =>
    compareWays(heads, ways, used, {
      runs: RUNS,
      budget: SECONDS,
      judge: false,
      maxNewTokens: Math.min(TOKENS, room),
      temperature,
      topK,
      signal: io.signal,
      onRun: (event) => report({ ...event, text: "runs" }),
    }),
  );
  return [results[0]!, results[1]!];
}
