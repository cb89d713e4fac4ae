/** The whole benchmark: opens a model, runs every way in turn, and writes the report. */
import { basename, join } from "node:path";
import type { SamplingOptions, UnitTimes } from "early-exits";
import { playPolicy } from "early-exits/calibrate";
import { predictTime } from "early-exits/exits";
import { createDevice, readModel } from "early-exits/node";
import { compareWays, type Comparison } from "early-exits/evaluate";
import { processIo } from "../../apps/cli/process-io.js";
import { withProgress } from "../../apps/cli/progress.js";
import { machine } from "../report/machine.js";
import { type Report, toMarkdown, writeReport } from "../report/report.js";
import { reportsFolder } from "../report/script.js";
import { modelFolder } from "../ship/embedded.js";
import { depthChart, speedupChart } from "./charts.js";
import { openSubject, sampledSubject, type Subject } from "./subject.js";
import { depthByPosition, type Judged, positionTable, summaryTable } from "./tables.js";
import { PROMPT_TOKENS } from "./texts.js";
import { allWays, lossyWays, type NamedWay, promptsOf } from "./ways.js";

interface SpeedupOptions {
  readonly out: string;
  readonly model: string;
  /** @default the model folder's heads/; heads are trained if it does not exist */
  readonly heads?: string | undefined;
  /** Documents, for a folder without certificates. */
  readonly text?: string | undefined;
  /** Runs of each way, for greedy and for sampled text. */
  readonly runs: number;
  readonly tokens: number;
}

export const speedupDefaults: SpeedupOptions = {
  out: reportsFolder,
  model: modelFolder("sotu-12"),
  runs: 40,
  tokens: 200,
};

const SAMPLING = { temperature: 0.8, topK: 40 } as const;

/** Writes the report and resolves to its Markdown. Throws if lossless decoding changes a greedy token. */
export async function speedupReport({
  out,
  model: folder,
  heads: headsFolder = join(folder, "heads"),
  text,
  runs,
  tokens: wanted,
}: SpeedupOptions): Promise<string> {
  const where = machine();
  const device = await createDevice("wasm");
  const model = await readModel(folder, { device });
  const tokens = Math.min(wanted, model.config.maxPositionEmbeddings - PROMPT_TOKENS);
  const context = PROMPT_TOKENS + (tokens >> 1);
  const subject = await openSubject({ model, folder, headsFolder, text, context });
  const { heads, times, origin } = subject;

  const lossy = lossyWays(subject);
  const ways = allWays(subject, lossy);
  const prompts = promptsOf(subject, "test", runs);
  const io = processIo();
  const compare = async (of: Subject, sampling: SamplingOptions): Promise<Comparison> => {
    const compared = allWays(of, lossyWays(of));
    return withProgress(io, "generate", (report) =>
      compareWays(heads, compared, prompts, {
        runs,
        maxNewTokens: tokens,
        signal: io.signal,
        onRun: (event) => report({ ...event, text: "runs" }),
        ...sampling,
      }),
    );
  };
  const greedy = await compare(subject, {});
  const sampled = await compare(await sampledSubject(subject, SAMPLING), SAMPLING);
  const judged = judge(subject, ways, greedy, sampled);

  const name = folder === speedupDefaults.model ? "speedup" : `speedup-${basename(folder)}`;
  const report: Report = {
    name,
    title: `Speed and agreement of early exits, ${basename(folder)}`,
    machine: where,
    data: {
      model: basename(folder),
      origin,
      depths: heads.depths,
      runs,
      tokens,
      times,
      judged: judged.map(({ way, ...rest }) => ({ name: way.name, kind: way.kind, level: way.level, ...rest })),
      depthByPosition: depthByPosition(sampled, ways),
    },
    tables: [
      summaryTable(judged, {
        heads,
        origin,
        runs: greedy.runs,
        tokens,
      }),
      positionTable(sampled, ways),
    ],
  };
  await writeReport(out, report, { [name]: speedupChart(judged), [`${name}-depths`]: depthChart(sampled, ways) });
  heads.dispose();
  model.dispose();
  await device.dispose();
  return toMarkdown(report);
}

function judge({ test, times }: Subject, ways: readonly NamedWay[], greedy: Comparison, sampled: Comparison): Judged[] {
  const plainTime = predictedTime(greedy, 0, times);
  return ways.map((way, i): Judged => {
    const { policy } = way.options;
    const result = greedy.results[i]!;
    if (way.kind === "lossless" && !result.identical) {
      throw new Error(`bench: ${way.name} gave other tokens than plain decoding`);
    }
    return {
      way,
      greedy: result,
      sampled: sampled.results[i]!,
      predicted: plainTime / predictedTime(greedy, i, times),
      test: policy === undefined || way.kind === "lossless" ? undefined : playPolicy(test, policy),
    };
  });
}

/** Predicted milliseconds of all runs of one way. */
function predictedTime({ summaries }: Comparison, way: number, times: UnitTimes): number {
  return summaries[way]!.reduce((sum, { ledger }) => sum + predictTime(ledger, times), 0);
}
