/**
 * Lossless decoding of sotu-12 in rounds of exactly γ drafts at one exit: tokens per round, beside the number that
 * independent acceptances would give, and the cost of a token in bytes of weights and in multiply-adds.
 */
import * as Plot from "@observablehq/plot";
import { createPolicy } from "early-exits";
import { Ledger, sumCounts } from "../../src/exits/cost/ledger.js";
import { tokensPerRound } from "early-exits/exits";
import { leaveEarly } from "../../src/exits/decode/decode.js";
import { losslessDecoder } from "../../src/exits/draft/speculate.js";
import { generateWith } from "../../src/model/decode/generate.js";
import { machine } from "../report/machine.js";
import { drain } from "../speed/timing.js";
import { documentsOf, openHeads } from "../ship/embedded.js";
import { colors, frame } from "./frame.js";

const LIMITS = [1, 2, 3, 4, 6, 8];
const PROMPTS = 12;
const NEW_TOKENS = 96;
const EXITS = [
  { exit: 0, color: colors.orange },
  { exit: 1, color: colors.blue },
];

interface Point {
  readonly exit: number;
  readonly color: string;
  readonly limit: number;
  /** Tokens per round: measured, and if acceptances were independent. */
  readonly measured: number;
  readonly alone: number;
  /** Per token, in percent of plain decoding. */
  readonly bytes: number;
  readonly multiplyAdds: number;
}

export async function drafting(): Promise<string> {
  const where = machine();
  const heads = await openHeads();
  const prompts = (await documentsOf("sotu-12", "test"))
    .slice(0, PROMPTS)
    .map((text) => heads.model.tokenizer.encode(text).slice(0, 32));
  const points: Point[] = [];
  for (const { exit, color } of EXITS) {
    const policy = createPolicy(
      heads,
      heads.depths.map((_, e) => (e === exit ? "always" : "never")),
      { fill: "shared" },
    );
    let alone = 0; // the acceptance of a round's first draft
    for (const limit of LIMITS) {
      const parts = [];
      let tokens = 0;
      let rounds = 0;
      let drafted = 0;
      let accepted = 0;
      for (const prompt of prompts) {
        // One prompt at a time: a batch would share the reading of weights.
        const ledger = new Ledger(heads);
        const decoder = losslessDecoder(
          heads.model,
          (requests) => leaveEarly(heads, policy, requests, { ledger }),
          () => ({ more: (drafts) => drafts < limit, learn: () => undefined }),
          { ledger },
        );
        const options = { maxNewTokens: NEW_TOKENS, stopAtEndOfText: false };
        const run = generateWith(heads.model, prompt, options, decoder);
        await drain(run);
        const { summary } = run;
        tokens += summary.newTokens;
        rounds += summary.rounds;
        drafted += summary.drafted;
        accepted += summary.accepted;
        parts.push(ledger.report([summary]));
      }
      if (limit === 1) alone = accepted / drafted;
      const decode = sumCounts(parts.map((part) => part.decode));
      const plain = sumCounts(parts.map((part) => part.plain));
      points.push({
        exit,
        color,
        limit,
        measured: tokens / rounds,
        alone: tokensPerRound(alone, limit),
        bytes: (100 * decode.weightBytes) / plain.weightBytes,
        multiplyAdds: (100 * decode.multiplyAdds) / plain.multiplyAdds,
      });
    }
  }
  const of = (exit: number) => points.filter((point) => point.exit === exit);
  const x = { label: "drafts a round", ticks: LIMITS, tickFormat: "d" };
  const label = Plot.text(
    EXITS.map(({ exit }) => of(exit).at(-1)!),
    {
      x: "limit",
      y: "measured",
      text: ({ exit }: { exit: number }) => `depth ${heads.depths[exit]!}`,
      dx: 6,
      textAnchor: "start",
    },
  );
  return frame({
    title: "More drafts give more tokens a round, and soon cost more than they save",
    legend: EXITS.map(({ exit, color }) => ({ label: `drafts by the head at depth ${heads.depths[exit]!}`, color })),
    machine: where,
    run:
      `sotu-12, greedy, ${PROMPTS} prompts, ${NEW_TOKENS} tokens each, exactly so many drafts a round; cost per ` +
      "token, plain decoding = 100",
    panels: [
      {
        title: "tokens a round (dashed: formula)",
        plot: {
          marginLeft: 32,
          marginRight: 48,
          x,
          y: { label: null, grid: true },
          marks: [
            ...EXITS.flatMap(({ exit, color }) => [
              Plot.lineY(of(exit), { x: "limit", y: "alone", stroke: color, strokeDasharray: "4 3" }),
              Plot.lineY(of(exit), { x: "limit", y: "measured", stroke: color, strokeWidth: 2 }),
              Plot.dot(of(exit), { x: "limit", y: "measured", fill: color, r: 3 }),
            ]),
            label,
          ],
        },
      },
      ...(
        [
          ["bytes of weights read, %", "bytes"],
          ["multiply-adds, %", "multiplyAdds"],
        ] as const
      ).map(([title, y]) => ({
        title,
        plot: {
          marginLeft: 36,
          x,
          y: { label: null, grid: true },
          marks: [
            Plot.ruleY([100], { strokeDasharray: "4 3" }),
            ...EXITS.flatMap(({ exit, color }) => [
              Plot.lineY(of(exit), { x: "limit", y, stroke: color, strokeWidth: 2 }),
              Plot.dot(of(exit), { x: "limit", y, fill: color, r: 3 }),
            ]),
          ],
        },
      })),
    ],
  });
}
