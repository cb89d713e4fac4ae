/**
 * The model that ships, in more detail: the effect of scores, of kinds of heads, of ways to teach and store them, and
 * of their placement. All policies are certified on the same calibration segments and judged on the same test segments,
 * from records, because the model shares keys and values. "predicted" is the time of a token of plain decoding divided
 * by the time of a token decoded with the policy, at unit times measured here and now on these heads; measured
 * speed-ups are about nine tenths of it (bench/reports/speedup.md).
 */
import { join } from "node:path";
import {
  exactFill,
  type ExitHeads,
  type FillName,
  measureUnitTimes,
  type Model,
  type ScoreName,
  scoreNames,
  type UnitTimes,
} from "early-exits";
import { calibrateRecords, type CalibrationRecords, playPolicy, recordDocuments } from "early-exits/calibrate";
import { percent } from "../report/format.js";
import type { Table } from "../report/report.js";
import { agreementOf, DELTA, depthsOf, type HeadRecipe, LEVELS, studyHeads, type Texts } from "./backbone.js";
import { kindsNote, placementsNote, scoresNote } from "./notes.js";

export interface DetailSubject {
  readonly model: Model;
  readonly name: string;
  readonly texts: Texts;
  /** The folder where trained heads are kept. */
  readonly kept: string;
  readonly say: (line: string) => void;
}

/** The three tables: scores, kinds of heads, placements. Throws if the model does not share keys and values. */
export async function detailTables(subject: DetailSubject): Promise<Table[]> {
  const { model, name } = subject;
  if (exactFill(model.config) !== "shared") {
    throw new Error(
      `study: ${name} does not share keys and values, so its policies cannot be judged from records; ` +
        "choose a model with num_kv_shared_layers above 0",
    );
  }
  const depths = depthsOf(model) as [number, number, number];
  const shipped = { depths: depths.slice(0, 2) };
  const base = await record(subject, "dense", shipped);
  const facts = { model: name, delta: DELTA };
  return [
    {
      title: "Scores",
      note: scoresNote({ ...facts, depths: [depths[0], depths[1]] }),
      columns: columnsOf("score", "chosen"),
      rows: await scoreRows(base),
    },
    {
      title: "Kinds of heads",
      note: kindsNote(facts),
      columns: columnsOf("kind", "best"),
      rows: await kindRows(subject, shipped, base),
    },
    {
      title: "Placements",
      note: placementsNote(facts),
      columns: columnsOf("exits after blocks", "best"),
      rows: await placementRows(subject, depths, base),
    },
  ];
}

/** Records of trained heads, and their unit times. */
interface Recorded {
  readonly fill: FillName;
  readonly calibration: CalibrationRecords;
  readonly test: CalibrationRecords;
  readonly costs: UnitTimes;
}

/** Trains heads, or finds them in the folder where they were kept, and records them. */
async function record(
  { model, texts, kept, say }: DetailSubject,
  label: string,
  recipe: HeadRecipe,
): Promise<Recorded> {
  const folder = join(kept, label.replace(/[^a-z0-9]+/gi, "-"));
  const heads: ExitHeads = await studyHeads(model, texts, folder, recipe);
  say(`heads ${label}`);
  const fill = exactFill(model.config);
  const costs = await measureUnitTimes(heads, { fill });
  const calibration = await recordDocuments(heads, texts.calibration);
  const test = await recordDocuments(heads, texts.test);
  heads.dispose();
  return { fill, calibration, test, costs };
}

async function scoreRows(base: Recorded): Promise<string[][]> {
  const rows: string[][] = [];
  for (const score of scoreNames) rows.push(await rowOf(score, base, score));
  return rows;
}

async function kindRows(subject: DetailSubject, shipped: HeadRecipe, base: Recorded): Promise<string[][]> {
  const recipes: Readonly<Record<string, HeadRecipe>> = {
    "dense, float32": { ...shipped, dtype: "float32" },
    "dense, temperature 1": { ...shipped, loss: { kind: "kl" } },
    linear: { ...shipped, kind: "linear" },
  };
  const rows = [await rowOf("dense", base)];
  for (const [label, recipe] of Object.entries(recipes)) {
    rows.push(await rowOf(label, await record(subject, label, recipe)));
  }
  return rows;
}

async function placementRows(
  subject: DetailSubject,
  [quarter, half, threeQuarters]: readonly [number, number, number],
  base: Recorded,
): Promise<string[][]> {
  const placements = [[half], [quarter - 1, quarter + 1, half], [quarter, half, threeQuarters], [half, threeQuarters]];
  const rows = [await rowOf(`${quarter}, ${half}`, base)];
  for (const depths of placements) {
    rows.push(await rowOf(depths.join(", "), await record(subject, `at ${depths.join(" ")}`, { depths })));
  }
  return rows;
}

/** Certifies every level with one score, or with the best one, and judges the policies on test segments. */
async function rowOf(label: string, recorded: Recorded, score: ScoreName | "best" = "best"): Promise<string[]> {
  const { fill, calibration, test, costs } = recorded;
  const cells: string[] = [];
  for (const agreement of LEVELS) {
    const options = { agreement, delta: DELTA, seed: 1, fill, costs, score };
    const { policy, notes } = await calibrateRecords(calibration, options);
    const played = playPolicy(test, policy);
    cells.push(
      ...(score === "best" ? [policy.score] : []),
      percent(played.coverage),
      played.meanDepth.toFixed(2),
      percent(played.documentAgreement),
      notes.speedup.toFixed(2),
    );
  }
  const agreements = agreementOf(test).map((share) => percent(share));
  return [label, agreements.join(", "), ...cells];
}

/** The score is a column of its own where each row uses its best one. */
function columnsOf(first: string, score: "chosen" | "best"): string[] {
  return [
    first,
    "head agreement",
    ...LEVELS.flatMap((level) => [
      ...(score === "best" ? [`score at ${level}`] : []),
      `leave at ${level}`,
      "depth",
      "agreement",
      "predicted",
    ]),
  ];
}
