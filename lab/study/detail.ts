/**
 * The model that ships, looked at more closely: what scores, kinds of heads, ways to teach and store them, and
 * placements bring. Everything is certified on the same calibration segments and judged on the same test segments, from
 * records, since the model shares keys and values. "predicted" is what a token of plain decoding takes over what one
 * takes through the policy, at unit times measured here and now on these heads: the clock shows about nine tenths of it
 * (bench/reports/speedup.md).
 */
import { join } from "node:path";
import { type ExitHeads, measureUnitTimes, type Model, type ScoreName, scoreNames, type UnitTimes } from "early-exits";
import { frequentTokens } from "early-exits/exits";
import { calibrateRecords, type CalibrationRecords, playPolicy, recordDocuments } from "early-exits/calibrate";
import type { Table } from "../report/index.js";
import { agreementOf, DELTA, depthsOf, fillOf, type HeadRecipe, LEVELS, studyHeads, type Texts } from "./backbone.js";
import { percent } from "./tables.js";

const GATE_STEPS = 600;
const SHORTLIST = 256;

/** What trained heads said, and what they cost. */
interface Recorded {
  readonly calibration: CalibrationRecords;
  readonly test: CalibrationRecords;
  readonly costs: UnitTimes;
}

export async function detailTables(
  model: Model,
  name: string,
  texts: Texts,
  kept: string,
  say: (line: string) => void,
): Promise<Table[]> {
  const fill = fillOf(model);
  if (fill !== "shared") {
    throw new Error(
      `study: ${name} does not share keys and values; what its policies do must be run, not played from records`,
    );
  }
  const record = async (heads: ExitHeads): Promise<Recorded> => {
    const recorded = {
      costs: await measureUnitTimes(heads, { fill }),
      calibration: await recordDocuments(heads, texts.calibration),
      test: await recordDocuments(heads, texts.test),
    };
    heads.dispose();
    return recorded;
  };
  const prepare = async (label: string, recipe: HeadRecipe): Promise<Recorded> => {
    const heads = await studyHeads(model, texts, join(kept, label.replace(/[^a-z0-9]+/gi, "-")), recipe);
    say(`heads ${label}`);
    return record(heads);
  };
  const row = async (
    label: string,
    { calibration, test, costs }: Recorded,
    score: ScoreName | "best" = "best",
  ): Promise<string[]> => {
    const cells: string[] = [];
    for (const agreement of LEVELS) {
      const { policy, certificate } = await calibrateRecords(calibration, {
        agreement,
        delta: DELTA,
        seed: 1,
        fill,
        costs,
        score,
      });
      const played = playPolicy(test, policy);
      const [chosen] = certificate.tests.flatMap(({ candidates, chosen: index }) =>
        index === "never" ? [] : [candidates[index]!.cost],
      );
      cells.push(
        ...(score === "best" ? [policy.score] : []),
        percent(played.coverage),
        played.meanDepth.toFixed(2),
        percent(played.documentAgreement),
        (certificate.costs.full / (chosen ?? certificate.costs.full)).toFixed(2),
      );
    }
    return [label, agreementOf(test).map(percent).join(", "), ...cells];
  };

  const [quarter, half, threeQuarters] = depthsOf(model) as [number, number, number];
  const shipped = { depths: [quarter, half] };
  const base = await prepare("dense", { ...shipped, gates: GATE_STEPS });
  const byScore: string[][] = [];
  for (const score of scoreNames) byScore.push(await row(score, base, score));

  const shortlist = await frequentTokens(model, texts.train, SHORTLIST);
  const kinds: readonly (readonly [string, HeadRecipe])[] = [
    ["dense, float32", { ...shipped, dtype: "float32" }],
    ["dense, temperature 1", { ...shipped, loss: { kind: "kl" } }],
    ["tied", { ...shipped, kind: "tied" }],
    ["lowRank", { ...shipped, kind: "lowRank" }],
    ["mlp", { ...shipped, kind: "mlp" }],
    [`shortlist of ${SHORTLIST}`, { ...shipped, kind: "shortlist", inner: SHORTLIST, shortlist }],
  ];
  const byKind = [await row("dense", base)];
  for (const [label, recipe] of kinds) byKind.push(await row(label, await prepare(label, recipe)));

  const byPlacement = [await row(`${quarter}, ${half}`, base)];
  for (const depths of [
    [half],
    [quarter - 1, quarter + 1, half],
    [quarter, half, threeQuarters],
    [half, threeQuarters],
  ]) {
    byPlacement.push(await row(depths.join(", "), await prepare(`at ${depths.join(" ")}`, { depths })));
  }

  const columns = (first: string, best: boolean): string[] => [
    first,
    "head agreement",
    ...LEVELS.flatMap((level) => [
      ...(best ? [`score at ${level}`] : []),
      `leave at ${level}`,
      "depth",
      "agreement",
      "predicted",
    ]),
  ];
  const note =
    `${name}, certified overall agreement per document, delta ${DELTA}; shares, depth and agreement on test ` +
    `segments; "predicted" is the speed-up at unit times measured on these heads.`;
  return [
    {
      title: "Scores",
      note: `${note} Dense int8 heads after blocks ${quarter} and ${half}, with gates.`,
      columns: columns("score", false),
      rows: byScore,
    },
    {
      title: "Kinds of heads",
      note:
        `${note} Taught at temperature .5 and stored in int8 where nothing else is said; the best score of each. ` +
        "The dense row may choose its gates.",
      columns: columns("kind", true),
      rows: byKind,
    },
    {
      title: "Placements",
      note: `${note} Dense int8 heads, the best score of each.`,
      columns: columns("exits after blocks", true),
      rows: byPlacement,
    },
  ];
}
