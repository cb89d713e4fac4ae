/** bench/reports/beyond.md: what a block of the head's own and a changed backbone bring beside a linear map. */
import type { UnitTimes } from "early-exits";
import { measuredLevels } from "early-exits/exits";
import { type Machine, percent, prose, type Report, type Table } from "../report/index.js";
import type { ComparedMap, MapPoint, MapsRecipe } from "./head-maps.js";
import type { DistilPoint, DistilRecipe } from "./self-distil.js";

interface Run<Recipe, Point> {
  readonly recipe: Recipe;
  /** Those that teach. */
  readonly answers: number;
  readonly tokens: number;
  readonly machine: Machine;
  readonly points: readonly Point[];
}
export type MapsRun = Run<MapsRecipe, MapPoint>;
export type DistilRun = Run<DistilRecipe, DistilPoint>;

export interface BeyondFacts {
  readonly where: Machine;
  readonly depth: number;
  readonly numLayers: number;
  readonly held: { readonly answers: number; readonly tokens: number };
  /** Of the shipped heads in int8 with the fill project: the first at `depth`, the last the unembedding's preview. */
  readonly times: UnitTimes;
  /** Milliseconds of the head with a block, its keys and values included. */
  readonly blockHead: number;
  readonly maps: MapsRun;
  readonly distilled: readonly DistilRun[];
}

/** What taught the shipped map (models/smollm2-135m-instruct/README.md). */
const SHIPPED_TOKENS = 1_001_869;
const LEVELS = measuredLevels.map((level) => percent(level, 0)).join(" / ");

export function beyondReport(facts: BeyondFacts): Report {
  return {
    name: "beyond",
    title: "Beyond linear maps on SmolLM2-135M-Instruct",
    machine: facts.where,
    data: facts,
    tables: [mapsTable(facts), distilTable(facts), timesTable(facts)],
  };
}

/** Plain decoding's time over that with the exit, if this share leaves and what it skipped never runs. */
export function expectedRatio(
  { depth, numLayers, times: { block, heads, finalHead, fills } }: BeyondFacts,
  coverage: number,
  head = heads[0]!,
): number {
  const [below, above] = [depth, numLayers - depth].map((blocks) => blocks * block[0]!.cost) as [number, number];
  const stays = above + heads.at(-1)!;
  const time = below + head + coverage * fills[0]!.cost + (1 - coverage) * stays;
  return (below + above + finalHead[0]!.cost) / time;
}

function sharesOf(coverage: readonly (number | null)[]): string {
  return coverage.map((share) => (share === null ? "none" : percent(share, 0))).join(" / ");
}

function ratiosOf(facts: BeyondFacts, coverage: readonly (number | null)[], head?: number): string {
  return coverage.map((share) => (share === null ? "none" : expectedRatio(facts, share, head).toFixed(2))).join(" / ");
}

function mapsTable(facts: BeyondFacts): Table {
  const { depth, held, blockHead, maps, distilled } = facts;
  const { recipe, answers, tokens, points } = maps;
  const shipped = distilled[0]!.points[0]!;
  const row = (name: string, seen: string, agreement: number, coverage: readonly number[], head?: number) => [
    name,
    seen,
    percent(agreement),
    sharesOf(coverage),
    ratiosOf(facts, coverage, head),
  ];
  const timeOf = (map: ComparedMap): number | undefined => (map === "block" ? blockHead : undefined);
  return {
    title: "A block of the head's own",
    note: prose`A linear map after block ${depth}, and the same with a causal block behind it, which begins as nothing
      and has its own keys and values; both from the closed form on ${tokens} tokens of ${answers} answers, trained on
      these tokens ${recipe.epochs} times (AdamW, learning rate ${recipe.learningRate}). Shipped: the linear map that
      was taught by ${SHIPPED_TOKENS} tokens. Judged on ${held.tokens} tokens of ${held.answers} answers to other
      prompts, with the whole vocabulary. May leave: the largest share of tokens, the surest first, such that so many of
      all keep theirs. Expected: plain decoding's time over that with this exit alone, its preview, the unembedding's
      preview, and the fill project, at unit times in int8, without a certificate's slack.`,
    columns: ["map", "tokens seen", "agreement", `may leave at ${LEVELS}`, `expected at ${LEVELS}`],
    rows: [
      ...points.map(({ map, epoch, quality: { agreement, levels } }) => {
        const coverage = levels.map((level) => level.coverage);
        return row(epoch === 0 ? `${map}, closed form` : map, String(tokens * epoch), agreement, coverage, timeOf(map));
      }),
      row("linear, shipped", String(SHIPPED_TOKENS), shipped.exit, shipped.coverage as readonly number[]),
    ],
  };
}

function distilTable(facts: BeyondFacts): Table {
  const { depth, held, distilled } = facts;
  const { rank } = distilled[0]!.recipe;
  return {
    title: "A changed backbone",
    note: prose`Changes of rank ${rank} to all matrices of all blocks, and the linear head after block ${depth} along
      with them, trained by w KL(full depth) + KL(exit) from the original's distribution (AdamW, learning rate η).
      Everything is judged against the original, on ${held.tokens} tokens of ${held.answers} answers: the exit, the full
      depth, and what may leave if tokens that stay differ, too. None: they alone differ more often than that.`,
    columns: [
      "w",
      "η",
      "tokens seen",
      "full depth agrees",
      "exit agrees",
      `may leave at ${LEVELS}`,
      `expected at ${LEVELS}`,
    ],
    rows: distilled
      .toSorted((a, b) => a.recipe.fullWeight - b.recipe.fullWeight)
      .flatMap(({ recipe, points }) =>
        points.map(({ tokens, full, exit, coverage }) => [
          String(recipe.fullWeight),
          String(recipe.learningRate),
          String(tokens),
          percent(full),
          percent(exit),
          sharesOf(coverage),
          ratiosOf(facts, coverage),
        ]),
      ),
  };
}

function timesTable({ times: { block, finalHead, heads, fills }, blockHead, depth }: BeyondFacts): Table {
  const row = (name: string, time: number): string[] => [name, time.toFixed(3)];
  return {
    title: "Unit times",
    note: "Milliseconds, medians, in int8, at 160 tokens of context.",
    columns: ["unit", "1 row"],
    rows: [
      row("block", block[0]!.cost),
      row("unembedding", finalHead[0]!.cost),
      row(`head at ${depth}, linear`, heads[0]!),
      row(`head at ${depth}, block, with its keys and values`, blockHead),
      row("preview in place of the unembedding", heads.at(-1)!),
      row("keys and values of the blocks above", fills[0]!.cost),
    ],
  };
}
