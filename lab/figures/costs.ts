/**
 * Where a token's multiply-adds go, counted while sotu-12 writes in several ways; and what tokens must do for exits to
 * pay on a model of pythia-70m's shape, by kind of head.
 */
import * as Plot from "@observablehq/plot";
import { createPolicy, generate, type GenerateOptions, type LedgerReport } from "early-exits";
import { readModelConfig } from "early-exits/model";
import { blockCost, type Counts, headCost, lossyCost, plainCost, usualHeads } from "early-exits/exits";
import { sumCounts } from "../../src/exits/cost/ledger.js";
import { machine } from "../report/machine.js";
import { drain } from "../speed/timing.js";
import { documentsOf, levels, openHeads, shippedCertificate } from "../ship/embedded.js";
import { colors, frame } from "./frame.js";

const PROMPTS = 12;
const NEW_TOKENS = 96;
const PARTS = [
  { part: "blocks", color: colors.blue },
  { part: "exit heads", color: colors.orange },
  { part: "final head", color: colors.gray },
] as const;
const KINDS = [
  { kind: "dense", label: "dense heads", color: colors.red },
  { kind: "linearPreview", label: "linear heads with a preview", color: colors.green },
] as const;

export async function costs(): Promise<string> {
  const where = machine();
  const heads = await openHeads();
  const { model } = heads;
  const prompts = (await documentsOf("sotu-12", "test"))
    .slice(0, PROMPTS)
    .map((text) => model.tokenizer.encode(text).slice(0, 32));
  const ways: (readonly [string, GenerateOptions])[] = [["plain", {}]];
  for (const level of levels) ways.push([`certified ${level} %`, { policy: (await shippedCertificate(level)).policy }]);
  ways.push([
    "lossless",
    { policy: createPolicy(heads, [1, 0.4], { score: "margin", fill: "shared" }), lossless: true },
  ]);
  const bars: { way: string; part: string; color: string; multiplyAdds: number }[] = [];
  for (const [way, options] of ways) {
    const reports: LedgerReport[] = [];
    for (const prompt of prompts) {
      const run = generate(heads, prompt, { ...options, maxNewTokens: NEW_TOKENS, stopAtEndOfText: false });
      await drain(run);
      reports.push(run.summary.ledger);
    }
    const decode: Counts = sumCounts(reports.map((report) => report.decode));
    const evaluated = heads.heads.reduce(
      (sum, head, exit) =>
        sum + head.work.multiplyAdds * reports.reduce((count, { headsByExit }) => count + headsByExit[exit]!, 0),
      0,
    );
    const final = decode.finalHeads * headCost(model.config, { kind: "dense" });
    const parts = { blocks: decode.multiplyAdds - evaluated - final, "exit heads": evaluated, "final head": final };
    for (const { part, color } of PARTS) {
      bars.push({ way, part, color, multiplyAdds: parts[part] / decode.tokens / 1e6 });
    }
  }
  const config = readModelConfig({
    model_type: "gpt_neox",
    hidden_size: 512,
    num_hidden_layers: 6,
    num_attention_heads: 8,
    intermediate_size: 2048,
    vocab_size: 50_304,
  });
  const curves = KINDS.flatMap(({ kind, color }) => {
    const once = (cost: number) => [{ rows: 1, cost }];
    const plan = {
      numLayers: 6,
      depths: [3, 5],
      block: once(blockCost(config)),
      finalHead: once(headCost(config, { kind: "dense" })),
      heads: [headCost(config, usualHeads(config)[kind]), headCost(config, usualHeads(config)[kind])],
      fills: [0, 0],
    };
    return Array.from({ length: 51 }, (_, i) => ({
      kind,
      color,
      coverage: 2 * i,
      speedup: plainCost(plan) / lossyCost(plan, [i / 50, i / 50]),
    }));
  });
  return frame({
    title: "Exits remove blocks and add heads; that pays off if the heads are small",
    legend: [
      ...PARTS.map(({ part, color }) => ({ label: part, color })),
      ...KINDS.map(({ label, color }) => ({ label, color })),
    ],
    machine: where,
    height: 280,
    shares: [1.15, 1],
    run:
      `left: sotu-12, greedy, ${PROMPTS} prompts, ${NEW_TOKENS} tokens each, as counted by the ledger (fill ` +
      "shared: a token that leaves after block 3 lacks only the keys and values of block 4, which are counted; one " +
      "that leaves after block 6 lacks none); right: from the shape of pythia-70m, heads after blocks 3 and 5, keys " +
      "and values not counted",
    panels: [
      {
        title: "multiply-adds per token, millions",
        plot: {
          marginLeft: 96,
          x: { label: null, grid: true },
          y: { label: null, domain: ways.map(([way]) => way), tickSize: 0 },
          marks: [
            Plot.barX(
              bars,
              Plot.stackX({ x: "multiplyAdds", y: "way", fill: "color", order: PARTS.map(({ color }) => color) }),
            ),
          ],
        },
      },
      {
        title: "speedup in multiply-adds, pythia-70m",
        plot: {
          marginLeft: 36,
          x: { label: "share of tokens leaving at each exit, %" },
          y: { label: null, grid: true },
          marks: [
            Plot.ruleY([1], { strokeDasharray: "4 3" }),
            Plot.lineY(curves, { x: "coverage", y: "speedup", stroke: "color", z: "kind", strokeWidth: 2 }),
          ],
        },
      },
    ],
  });
}
