/**
 * What early exits bring to a model, beside what they promise: plain decoding, the certified policies of its folder,
 * the paper's thresholds at the same levels (no guarantee), lossless decoding, and the fixed exit with a fixed draft
 * length of LayerSkip; greedy and sampled, on prompts from test documents. Wall clock of interleaved runs; agreement on
 * test documents that neither model, heads nor calibration has seen; the ledger's counts at unit times measured in the
 * same run, against the clock. Alone: `npm run bench:speedup [-- --model FOLDER [--heads FOLDER] [--text FILE]] [--runs
 * 40] [--tokens 200]`. A folder that `npm run ship` wrote has heads/, certificates/ and documents.json. Any other needs
 * a text of many documents: heads are trained on most of it where none are given, policies certified on a tenth, and
 * judged on the last tenth. Its report is speedup-NAME.
 */
import * as Plot from "@observablehq/plot";
import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import {
  checkCertificate,
  exactFill,
  type ExitHeads,
  measureUnitTimes,
  type Model,
  OptionError,
  type Policy,
  type SamplingOptions,
  type UnitTimes,
} from "early-exits";
import { createRng } from "early-exits/tensor";
import { predictTime } from "early-exits/exits";
import {
  calibrateRecords,
  type CalibrationRecords,
  cheapestDrafting,
  playPolicy,
  type PolicyOutcome,
  recordDocuments,
  recordDrafting,
  type TunedDrafting,
} from "early-exits/calibrate";
import { compareWays, type Comparison, type Way, type WayResult } from "early-exits/evaluate";
import { createDevice, readJson, readModel } from "early-exits/node";
import { processIo, withProgress } from "../src/cli/index.js";
import {
  beginnings,
  cheapestFixedExit,
  type FixedExit,
  openHeads,
  PROMPT_TOKENS,
  readParts,
} from "../lab/lossless/index.js";
import {
  describeMachine,
  machine,
  plotSvg,
  type Report,
  type Table,
  toMarkdown,
  writeReport,
} from "../lab/report/index.js";

export interface SpeedupOptions {
  readonly out: string;
  readonly model: string;
  /** @default the model folder's heads/, or trained here where there are none */
  readonly heads?: string | undefined;
  /** Documents, for a folder without certificates. */
  readonly text?: string | undefined;
  /** Runs of each way, greedy and sampled, each. */
  readonly runs: number;
  readonly tokens: number;
}

export const speedupDefaults: SpeedupOptions = {
  out: fileURLToPath(new URL("reports", import.meta.url)),
  model: fileURLToPath(new URL("../models/sotu-12", import.meta.url)),
  runs: 40,
  tokens: 200,
};

/** Asked of a folder that has no certificates of its own. */
const LEVELS = [0.99, 0.95, 0.9, 0.8] as const;
const DELTA = 0.05;
const HEAD_STEPS = 600;
/** For drafting: acceptance is counted by classes of scores, which one prompt for each run would fill too thinly. */
const TUNING_PROMPTS = 100;
const SAMPLING = { temperature: 0.8, topK: 40 } as const;

interface NamedWay extends Way {
  /** What was promised; undefined where nothing is lost. */
  readonly level?: number;
  readonly kind: "plain" | "certified" | "paper" | "lossless";
}

interface Judged {
  readonly way: NamedWay;
  /** On test documents, the text given; undefined where nothing is lost. */
  readonly test: PolicyOutcome | undefined;
  readonly greedy: WayResult;
  readonly sampled: WayResult;
  /** The ledger's counts at unit times: predicted speedup of the greedy runs, and how much of it the clock showed. */
  readonly predicted: number;
}

/** What is measured: heads, what their exits said on the texts given, and policies that were certified on such. */
interface Subject {
  readonly heads: ExitHeads;
  readonly certified: readonly CertifiedWay[];
  readonly times: UnitTimes;
  readonly calibration: CalibrationRecords;
  readonly test: CalibrationRecords;
  readonly texts: Record<"calibration" | "test", readonly string[]>;
  /** Of heads and certificates. */
  readonly origin: string;
}

/** Settings for lossless decoding, tuned on the same texts. */
interface Drafting {
  readonly tuned: TunedDrafting;
  readonly fixed: FixedExit;
}

export async function speedupReport({
  out,
  model: folder,
  heads: headsFolder = join(folder, "heads"),
  text,
  runs,
  tokens: wanted,
}: SpeedupOptions): Promise<string> {
  const where = machine();
  const io = processIo();
  const device = await createDevice("wasm");
  const model = await readModel(folder, { device });
  const tokens = Math.min(wanted, model.config.maxPositionEmbeddings - PROMPT_TOKENS);
  const { heads, certified, times, calibration, test, texts, origin } = await openSubject(
    model,
    folder,
    headsFolder,
    text,
    PROMPT_TOKENS + (tokens >> 1),
  );
  const paper = await Promise.all(
    certified.map(async ({ level }): Promise<NamedWay> => {
      const { policy } = await calibrateRecords(calibration, {
        procedure: "paper",
        agreement: level,
        score: "entropy",
        fill: exactFill(model.config),
      });
      return { name: `paper's rule, ${level}`, kind: "paper", level, options: { policy } };
    }),
  );
  // Drafts may be bolder than lossy exits: by the least agreement that was certified, and tuned on the beginnings of
  // calibration documents.
  const bold = certified.at(-1)!;
  const promptsOf = (part: "calibration" | "test", count: number): readonly (readonly number[])[] =>
    beginnings(model, createRng(7).shuffle(texts[part]), count);
  const draftingFor = async (sampling: SamplingOptions): Promise<Drafting> => {
    const recorded = await recordDrafting(heads, promptsOf("calibration", TUNING_PROMPTS), {
      maxNewTokens: tokens,
      stopAtEndOfText: false,
      ...sampling,
    });
    return { tuned: cheapestDrafting(heads, recorded, times), fixed: cheapestFixedExit(heads, recorded, times) };
  };
  const greedyDrafting = await draftingFor({});
  const sampledDrafting = await draftingFor(SAMPLING);
  const waysWith = ({ tuned, fixed }: Drafting): NamedWay[] => [
    { name: "plain", kind: "plain", options: {} },
    ...certified,
    ...paper,
    {
      name: `lossless, drafting at ${bold.level}`,
      kind: "lossless",
      options: { policy: bold.options.policy, lossless: { costs: times } },
    },
    { name: "lossless, tuned for time", kind: "lossless", options: { policy: tuned.policy, lossless: tuned.lossless } },
    {
      name: "LayerSkip's fixed exit, tuned",
      kind: "lossless",
      options: { policy: fixed.policy, lossless: { draftLimit: fixed.draftLimit } },
    },
  ];
  const ways = waysWith(greedyDrafting);
  const prompts = promptsOf("test", runs);
  const compare = (drafting: Drafting, sampling: SamplingOptions): Promise<Comparison> =>
    withProgress(io, "generate", (report) =>
      compareWays(heads, waysWith(drafting), prompts, {
        runs,
        maxNewTokens: tokens,
        signal: io.signal,
        onRun: (event) => report({ ...event, text: "runs" }),
        ...sampling,
      }),
    );
  const greedy = await compare(greedyDrafting, {});
  const sampled = await compare(sampledDrafting, SAMPLING);
  const plainTime = timeOf(greedy, 0, times);
  const judged = ways.map((way, i): Judged => ({
    way,
    greedy: greedy.results[i]!,
    sampled: sampled.results[i]!,
    predicted: plainTime / timeOf(greedy, i, times),
    test:
      way.options.policy === undefined || way.kind === "lossless" ? undefined : playPolicy(test, way.options.policy),
  }));
  if (!judged.every(({ way, greedy }) => way.kind !== "lossless" || greedy.identical)) {
    throw new Error("bench: lossless decoding gave other tokens than plain decoding");
  }

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
      judged: judged.map(({ way: { name, kind, level }, ...rest }) => ({ name, kind, level, ...rest })),
      depthByPosition: depthByPosition(sampled, ways),
    },
    tables: [
      summaryTable(judged, heads, `${origin}; ${greedy.runs} interleaved runs of ${tokens} tokens`, [
        greedyDrafting.fixed,
        sampledDrafting.fixed,
      ]),
      positionTable(sampled, ways),
    ],
  };
  await writeReport(out, report, { [name]: speedupChart(judged), [`${name}-depths`]: depthChart(sampled, ways) });
  heads.dispose();
  model.dispose();
  await device.dispose();
  return toMarkdown(report);
}

async function openSubject(
  model: Model,
  folder: string,
  headsFolder: string,
  text: string | undefined,
  context: number,
): Promise<Subject> {
  if (text === undefined && !existsSync(join(folder, "documents.json"))) {
    throw new OptionError(
      "bench-text",
      `bench: ${folder} holds no documents.json (npm run ship writes it); give --text FILE, documents like ` +
        "those the model will meet",
      { folder },
    );
  }
  const texts = await readParts(folder, text);
  const [heads, origin] = await openHeads(model, headsFolder, texts.train, HEAD_STEPS);
  const calibration = await recordDocuments(heads, texts.calibration);
  const test = await recordDocuments(heads, texts.test);
  const fill = exactFill(model.config); // which a recording shows: one certifies and judges every policy
  const times = await measureUnitTimes(heads, { fill, context });
  const shipped = text === undefined;
  const certified = shipped
    ? await certificatesIn(join(folder, "certificates"))
    : await Promise.all(
        LEVELS.map(async (agreement) => {
          const { policy } = await calibrateRecords(calibration, {
            agreement,
            delta: DELTA,
            fill,
            seed: 1,
            costs: times,
          });
          return certifiedWay(agreement, policy);
        }),
      );
  return {
    heads,
    certified,
    times,
    calibration,
    test,
    texts,
    origin: `${origin}; certificates ${shipped ? "of the folder" : `made here, on ${texts.calibration.length} documents`}`,
  };
}

type CertifiedWay = NamedWay & { readonly level: number; readonly options: { readonly policy: Policy } };
const certifiedWay = (level: number, policy: Policy): CertifiedWay => ({
  name: `certified ${level}`,
  kind: "certified",
  level,
  options: { policy },
});

async function certificatesIn(folder: string): Promise<CertifiedWay[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith(".json"));
  const certificates = await Promise.all(
    names.map(async (name) => checkCertificate(await readJson(join(folder, name)))),
  );
  return certificates
    .sort((a, b) => b.agreement - a.agreement)
    .map(({ agreement, policy }) => certifiedWay(agreement, policy));
}

/** Predicted milliseconds of all runs of one way. */
function timeOf({ summaries }: Comparison, way: number, times: UnitTimes): number {
  return summaries[way]!.reduce((sum, { ledger }) => sum + predictTime(ledger, times), 0);
}

function summaryTable(
  judged: readonly Judged[],
  heads: ExitHeads,
  what: string,
  fixed: readonly [greedy: FixedExit, sampled: FixedExit],
): Table {
  const [greedyExit, sampledExit] = fixed.map(
    ({ depth, draftLimit }) => `depth ${depth}, ${draftLimit} draft${draftLimit === 1 ? "" : "s"}`,
  );
  const percent = (share: number): string => (Number.isNaN(share) ? "" : `${(100 * share).toFixed(1)} %`);
  const ratio = ({ ratio: { median, low, high } }: WayResult): string =>
    `${median.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`;
  return {
    title: "Ways of decoding",
    note:
      `Exits after blocks ${heads.depths.join(", ")} of ${heads.model.config.numLayers} (${what} each way, one ` +
      "thread, float32). Speedups are ratios of median speeds to plain decoding's, with the quartiles of the " +
      `ratios run by run (prompts differ). "of predicted" is measured speedup over that of the ledger's counts ` +
      "at unit times measured in the same run. Agreement and depth on test documents are those of given text; in " +
      "generated text the greedy column counts tokens that the full model would have chosen after the same text. " +
      "What is tuned was tuned on other prompts, for greedy and for sampled text by itself; LayerSkip's fixed " +
      `exit became ${greedyExit!}, and ${sampledExit!}.`,
    columns: [
      "way",
      "speedup, greedy",
      "speedup, sampled",
      "predicted, greedy",
      "of predicted",
      "agreement on test documents",
      "depth there",
      "agreement, greedy text",
      "blocks/token",
      "M multiply-adds/token",
      "weights MB/token",
    ],
    rows: judged.map(({ way, test, greedy, sampled, predicted }) => [
      way.name,
      ratio(greedy),
      ratio(sampled),
      predicted.toFixed(2),
      percent(greedy.ratio.median / predicted),
      test === undefined ? "" : percent(test.documentAgreement),
      test === undefined ? "" : test.meanDepth.toFixed(2),
      greedy.identical ? "identical" : percent(greedy.agreement),
      greedy.blocks.toFixed(2),
      greedy.multiplyAdds / 1e6,
      greedy.weightBytes / 1e6,
    ]),
  };
}

const BUCKET = 20;

/** Mean depth of sampled tokens by their position in the text, in buckets. */
function depthByPosition(
  { summaries }: Comparison,
  ways: readonly NamedWay[],
): { readonly way: string; readonly depths: readonly number[] }[] {
  return ways.flatMap(({ name, kind }, i) => {
    if (kind !== "certified") return [];
    const steps = summaries[i]!.map(({ ledger }) => ledger.steps.map(({ blocks }) => blocks));
    const buckets = Math.ceil(steps[0]!.length / BUCKET);
    return [
      {
        way: name,
        depths: Array.from({ length: buckets }, (_, b) =>
          mean(steps.flatMap((run) => run.slice(b * BUCKET, (b + 1) * BUCKET))),
        ),
      },
    ];
  });
}

function positionTable(sampled: Comparison, ways: readonly NamedWay[]): Table {
  const rows = depthByPosition(sampled, ways);
  return {
    title: "Depth by position",
    note: `Blocks run per token, sampled text, in buckets of ${BUCKET} tokens after the prompt.`,
    columns: ["way", ...rows[0]!.depths.map((_, b) => `${b * BUCKET + 1} to ${(b + 1) * BUCKET}`)],
    rows: rows.map(({ way, depths }) => [way, ...depths]),
  };
}

/** Shallow to deep. */
const DEPTH_BLUES = ["#6baed6", "#4292c6", "#2171b5", "#08519c", "#08306b"] as const;

/** How many blocks sampled tokens needed. */
function depthChart({ summaries }: Comparison, ways: readonly NamedWay[]): string {
  const shares = ways.flatMap(({ name, kind }, i) => {
    if (kind !== "certified") return [];
    const counts = summaries[i]!.reduce<number[]>(
      (sum, { depthCounts }) => depthCounts.map((count, depth) => count + (sum[depth] ?? 0)),
      [],
    );
    const total = counts.reduce((sum, count) => sum + count, 0);
    return counts.flatMap((count, depth) =>
      count === 0 ? [] : [{ way: name, depth: `${depth} blocks`, share: count / total }],
    );
  });
  const depths = [...new Set(shares.map(({ depth }) => depth))].sort((a, b) => parseInt(a) - parseInt(b));
  return plotSvg({
    width: 680,
    height: 96 + 36 * new Set(shares.map(({ way }) => way)).size,
    marginLeft: 110,
    marginTop: 52,
    marginRight: 30,
    marginBottom: 44,
    x: { label: "share of sampled tokens", tickFormat: ".0%" },
    y: { label: null },
    color: {
      domain: depths,
      range: depths.map(
        (_, i) => DEPTH_BLUES[Math.round((i * (DEPTH_BLUES.length - 1)) / Math.max(1, depths.length - 1))]!,
      ),
    },
    style: { fontFamily: "system-ui, sans-serif", fontSize: "12px", background: "white", color: "black" },
    marks: [
      Plot.barX(shares, Plot.stackX({ order: depths, x: "share", y: "way", fill: "depth", z: "depth" })),
      Plot.text(
        shares,
        Plot.stackX({
          order: depths,
          x: "share",
          y: "way",
          z: "depth",
          text: ({ share, depth }: { share: number; depth: string }) =>
            share < 0.12 ? "" : `${depth}: ${(100 * share).toFixed(0)} %`,
          fill: "white",
        }),
      ),
      Plot.text(["Blocks that tokens needed, by certified agreement"], {
        frameAnchor: "top-left",
        dx: -104,
        dy: -34,
        fontSize: 13,
        fontWeight: "bold",
      }),
    ],
  });
}

/**
 * Speedup against agreement on test documents: what was certified, and what the paper's rule chose for the same levels.
 */
function speedupChart(judged: readonly Judged[]): string {
  const points = judged.flatMap(({ way: { kind, level }, test, sampled }) =>
    level === undefined || test === undefined
      ? []
      : [
          {
            kind: kind === "paper" ? "paper's rule" : "certified",
            level,
            agreement: test.documentAgreement,
            speedup: sampled.ratio.median,
          },
        ],
  );
  return plotSvg({
    width: 680,
    height: 420,
    marginLeft: 50,
    marginTop: 64,
    marginRight: 30,
    inset: 24,
    grid: true,
    x: { label: "agreement on test documents", tickFormat: ".0%", reverse: true },
    y: { label: "speedup, sampled text" },
    color: { legend: false, domain: ["certified", "paper's rule"], range: ["#1f77b4", "#d62728"] },
    style: { fontFamily: "system-ui, sans-serif", fontSize: "12px", background: "white", color: "black" },
    marks: [
      Plot.line(points, { x: "agreement", y: "speedup", stroke: "kind", strokeWidth: 1.5 }),
      Plot.dot(points, { x: "agreement", y: "speedup", fill: "kind", r: 5, symbol: "kind" }),
      Plot.text(points, {
        x: "agreement",
        y: "speedup",
        text: ({ level, kind }: { level: number; kind: string }) =>
          `${kind === "certified" ? "certified" : "asked"} ${level}`,
        dy: -12,
        fill: "kind",
      }),
      Plot.text(["Speed against agreement; blue: certified, red: the paper's rule, no guarantee"], {
        frameAnchor: "top-left",
        dx: -44,
        dy: -32,
        fontSize: 13,
        fontWeight: "bold",
      }),
    ],
  });
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value / values.length, 0);
}

if (process.argv[1]?.endsWith("speedup.ts")) {
  const text = { type: "string" } as const;
  const { values } = parseArgs({ options: { model: text, heads: text, text, out: text, runs: text, tokens: text } });
  console.error(describeMachine(machine()));
  const { runs, tokens, ...rest } = values;
  console.log(
    await speedupReport({
      ...speedupDefaults,
      ...rest,
      runs: Number(runs ?? speedupDefaults.runs),
      tokens: Number(tokens ?? speedupDefaults.tokens),
    }),
  );
}
