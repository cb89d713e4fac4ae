/** Agreement of the page's keys and values with what the ledger counted. */
import { sum } from "d3-array";
import { createPolicy, type FillName, fitProjections } from "early-exits";
import { keyValueLayers } from "early-exits/model";
import { createDevice, readHeads, readModel } from "early-exits/node";
import { expect, it } from "vitest";
import { type KeyValueSource, type KeyValueSpan, keyValuesOf } from "../../playground/src/engine/key-values.js";
import { generated } from "../support/generated.js";
import { times } from "../support/lists.js";

const data = "playground/public/model";
const PROMPT = "The people of the United States";

type Thresholds = Parameters<typeof createPolicy>[1];

const model = await readModel(data, { device: await createDevice("wasm") });
const heads = await readHeads(data, model);
const { numLayers } = model.config;
const own = keyValueLayers(model.config);

/** Thresholds at which tokens leave at both exits and at neither. */
const MIXED: Thresholds = [0.57, 0.23];

interface WriteOptions {
  readonly fill: FillName;
  readonly lossless?: boolean;
  /** Blocks that the page takes to have keys and values of their own. @default as many as have */
  readonly layers?: number;
}

/** Writes a text, and returns what the page says about its keys and values, and what the ledger counted. */
async function write(thresholds: Thresholds, { fill, lossless = false, layers = own }: WriteOptions) {
  const policy = createPolicy(heads, thresholds, { score: "margin", fill });
  const { tokens, summary } = await generated(heads, PROMPT, { policy, maxNewTokens: 60, lossless, drafts: false });
  const mode = lossless ? "lossless" : "exits";
  const spans = keyValuesOf(tokens, { mode, fill, numLayers, keyValueLayers: layers });
  return { depths: tokens.map(({ depth }) => depth), spans, decode: summary.ledger.decode };
}

/** Number of blocks with keys and values of these sources, summed over the positions. */
function count(spans: readonly (readonly KeyValueSpan[])[], ...sources: readonly KeyValueSource[]) {
  const counted = spans.flat().filter(({ source }) => sources.includes(source));
  return sum(counted, ({ first, last }) => last - first + 1);
}

it.each(["shared", "project"] as const)("are made as often as the ledger counts, with fill %s", async (fill) => {
  if (fill === "project") await fitProjections(heads, ["The people of the United States have met in Congress."]);
  const { depths, spans, decode } = await write(MIXED, { fill });
  expect(new Set(depths).size).toBe(3); // or little would be tested
  expect(decode.fills).toBeGreaterThan(0);
  expect(count(spans, "made", "projected")).toBe(decode.fills);
  expect(sum(depths) + count(spans, "runForFill")).toBe(decode.blocks);
});

it.each([[MIXED], [["never", 0.5]], [[0.3, "never"]]] as [Thresholds][])(
  "run as often as the ledger counts, with fill lazy and thresholds %j",
  async (thresholds) => {
    // Blocks without keys and values of their own run later too; here the page counts them as if they had some.
    const { spans, decode } = await write(thresholds, { fill: "lazy", layers: numLayers });
    expect(count(spans, "runLater")).toBeGreaterThan(0);
    expect(count(spans, "run", "runLater")).toBe(decode.blocks);
  },
);

it.each(["shared", "lazy"] as const)("name every block once, with fill %s", async (fill) => {
  const { spans } = await write(MIXED, { fill });
  for (const position of spans) {
    const blocks = position.flatMap(({ first, last }) => times(last - first + 1, (i) => first + i));
    expect(blocks).toEqual(times(numLayers, (i) => i + 1));
  }
});

it("come from the verification if the token was a draft", async () => {
  const { depths, spans } = await write(MIXED, { fill: "shared", lossless: true });
  const drafts = depths.flatMap((depth, i) => (depth < own ? [i] : []));
  expect(drafts.length).toBeGreaterThan(0);
  for (const i of drafts) expect(spans[i]!.at(-2)!.source).toBe("verified");
});
