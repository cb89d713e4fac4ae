/**
 * `early-exits plan`: whether exits can pay for a model, before any training: from config.json alone, by kind of head
 * and placement; with --heads and --text from times measured here and from what the heads say about text.
 */
import { join } from "node:path";
import { type FillName, measureUnitTimes, planExits, type WeightDtype } from "../../index.js";
import { readModelConfig } from "../../model/index.js";
import {
  bestDraftLength,
  breakEven,
  type BreakEvenRow,
  lossyCost,
  measuredCosts,
  plainCost,
  type PlanFill,
} from "../../exits/index.js";
import { calibrateRecords } from "../../calibrate/index.js";
import { FURTHER_ROW } from "../../exits/cost/index.js";
import { readHeads, readJson, readModel } from "../../node/index.js";
import { recordAll } from "./calibrate.js";
import { percent, table } from "../format.js";
import { colorsOf, type CommonOptions, type Io, openDevice, UsageError, writeResult } from "../io.js";
import { readDocuments } from "../text-source.js";

export interface PlanSettings extends CommonOptions {
  readonly dir: string;
  readonly heads?: string | undefined;
  readonly text?: string | undefined;
  /** @default "project", or "propagate" for heads without learned keys and values */
  readonly fill?: PlanFill | undefined;
  /** Level at which thresholds are chosen on the text. @default 0.95 */
  readonly agreement?: number | undefined;
  readonly documents?: number | undefined;
  readonly device?: string | undefined;
  readonly dtype?: WeightDtype | undefined;
}

export async function run(settings: PlanSettings, io: Io): Promise<void> {
  const { dir, heads, text, json } = settings;
  if ((heads === undefined) !== (text === undefined)) {
    throw new UsageError("plan: --heads and --text go together: measurements need both");
  }
  const config = readModelConfig(await readJson(join(dir, "config.json")));
  const plans = planExits(config, settings.fill === undefined ? {} : { fill: settings.fill });
  const measured = heads === undefined || text === undefined ? undefined : await measure(settings, heads, text, io);
  const { bold, dim } = colorsOf(io);
  writeResult(io, { json }, { dir, fill: settings.fill ?? "project", plans, measured: measured ?? null }, [
    bold(`from config.json, in multiply-adds (fill ${settings.fill ?? "project"}):`),
    ...planTable(plans),
    verdict(plans),
    dim(
      "break-even: share of the tokens reaching each exit that must leave there. Lossless: least acceptance of " +
        `drafts, verified in a batch, a further row at ${FURTHER_ROW} of the first.`,
    ),
    ...(measured === undefined
      ? []
      : [
          "",
          bold(
            `measured here (${measured.device}, fill ${measured.fill}), thresholds ` +
              `for ${percent(measured.agreement, 0)} agreement chosen on this very text:`,
          ),
          ...measuredLines(measured),
        ]),
  ]);
}

function planTable(plans: readonly BreakEvenRow[]): string[] {
  return table([
    ["heads", "depths", "head", "break-even", "at most", "lossless from", "at most"],
    ...plans.map(({ kind, depths, headInBlocks, coverage, limit, lossless }) => [
      kind,
      depths.join(" "),
      `${headInBlocks.toFixed(2)} blocks`,
      share(coverage),
      times(limit),
      lossless.acceptance === null ? "never" : `${percent(lossless.acceptance, 0)} at ${lossless.depth}`,
      times(lossless.limit),
    ]),
  ]);
}

/** The placement and kind that need the fewest exits. */
function verdict(plans: readonly BreakEvenRow[]): string {
  const best = plans.filter(({ coverage }) => coverage !== null).toSorted((a, b) => a.coverage! - b.coverage!)[0];
  if (best === undefined) {
    return (
      "No placement and no kind of head can pay here, whatever the training: a head costs more than the blocks " +
      "it can save."
    );
  }
  const worth =
    best.coverage! <= 0.25
      ? "Exits can pay"
      : best.coverage! <= 0.6
        ? "Exits pay only if heads are good"
        : "Exits hardly pay";
  return (
    `${worth}: ${best.kind} heads after block ${best.depths.join(", ")} break even where ${share(best.coverage)} ` +
    "of the tokens leave."
  );
}

interface Measured {
  readonly device: string;
  readonly fill: FillName;
  readonly agreement: number;
  /** Milliseconds a token. */
  readonly plain: number;
  readonly breakEven: number | null;
  readonly scores: readonly {
    readonly score: string;
    readonly coverage: readonly number[];
    readonly agreement: number;
    readonly speedup: number;
  }[];
  readonly lossless: readonly {
    readonly depth: number;
    readonly acceptance: number;
    readonly draftLength: number;
    readonly speedup: number;
  }[];
}

async function measure(
  { dir, device, dtype, agreement = 0.95, documents, fill: wanted }: PlanSettings,
  folder: string,
  text: string,
  io: Io,
): Promise<Measured> {
  const model = await readModel(dir, { device: await openDevice(io, device), ...(dtype && { dtype }) });
  const heads = await readHeads(folder, model);
  const fill: FillName =
    wanted ?? (heads.heads.every(({ projection }) => projection !== undefined) ? "project" : "propagate");
  const records = await recordAll(heads, (await readDocuments(text)).documents.slice(0, documents), io, "record");
  const costs = measuredCosts(
    model.config.numLayers,
    heads.depths,
    await measureUnitTimes(heads, { fill, now: () => performance.now() }),
  );
  const plain = plainCost(costs);
  const scores: Measured["scores"][number][] = [];
  for (const score of heads.scores) {
    const { policy, certificate } = await calibrateRecords(records, { procedure: "paper", agreement, score, fill });
    // A head that is never to be taken is not evaluated either.
    const used = policy.exits.map(({ threshold }) => threshold !== "never");
    const coverage = certificate.measured.exits.map(({ left, reached }) => (reached === 0 ? 0 : left / reached));
    // Where gates decide, a token that leaves pays for its head; the others pay for gates.
    const asked =
      score === "gate"
        ? { heads: costs.gates!, fills: costs.fills.map((fill, exit) => fill + costs.heads[exit]!) }
        : costs;
    const cost = lossyCost(
      { ...costs, fills: asked.fills, heads: asked.heads.map((head, exit) => (used[exit] ? head : 0)) },
      coverage,
    );
    scores.push({ score, coverage, agreement: certificate.measured.agreement, speedup: plain / cost });
  }
  const lossless = heads.depths.map((depth, exit) => {
    const [positions, agreed] = records.documents.reduce(
      ([all, same], document) => [
        all + document.positions,
        same + document.exits[exit]!.agrees.reduce((sum, agrees) => sum + agrees, 0),
      ],
      [0, 0],
    );
    return { depth, acceptance: agreed / positions, ...bestDraftLength(costs, exit, agreed / positions) };
  });
  const result = {
    device: model.device.backend,
    fill,
    agreement,
    plain,
    breakEven: breakEven(costs).coverage,
    scores,
    lossless,
  };
  heads.dispose();
  model.dispose();
  return result;
}

function measuredLines({ plain, breakEven: coverage, scores, lossless }: Measured): string[] {
  return [
    `plain decoding ${plain.toFixed(3)} ms a token; exits break even where ${share(coverage)} of the tokens ` +
      "reaching each leave",
    ...table([
      ["score", "leave", "agreement", "predicted"],
      ...scores.map((row) => [
        row.score,
        row.coverage.map((part) => percent(part, 0)).join(" "),
        percent(row.agreement),
        times(row.speedup),
      ]),
    ]),
    "lossless, drafting at one exit whatever its score:",
    ...table([
      ["depth", "accepted", "drafts", "predicted"],
      ...lossless.map((row) => [
        String(row.depth),
        percent(row.acceptance),
        String(row.draftLength),
        times(row.speedup),
      ]),
    ]),
  ];
}

const share = (value: number | null): string => (value === null ? "never" : percent(value, 0));
const times = (value: number): string => `${value.toFixed(2)}x`;
