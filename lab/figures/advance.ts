/**
 * Which block ran when, at every position of a text that sotu-12 generates with exits and lazy filling: the calls of
 * `advance` in the order in which they happened.
 */
import * as Plot from "@observablehq/plot";
import { createRng } from "early-exits/tensor";
import { advance, Sequence } from "early-exits/model";
import { machine } from "../report/machine.js";
import { earlyExitDecoder } from "../../src/exits/decode/decode.js";
import { createSampler } from "../../src/model/decode/decoder.js";
import { openHeads, shippedCertificate } from "../ship/embedded.js";
import { colors, frame } from "./frame.js";

const PROMPT = "The people of the";
const NEW_TOKENS = 18;

/** Blocks [from, to) of one position, run together. */
interface Run {
  readonly position: number;
  readonly from: number;
  readonly to: number;
  readonly when: "prompt" | "own" | "later";
}

export async function advanceGrid(): Promise<string> {
  const where = machine();
  const heads = await openHeads();
  const { model } = heads;
  const { numLayers } = model.config;
  const decoder = earlyExitDecoder(heads, { ...(await shippedCertificate(95)).policy, fill: "lazy" });
  const sampler = createSampler({ temperature: 0 }, createRng(1));
  const sequence = new Sequence(model);
  sequence.append(...model.tokenizer.encode(PROMPT));
  const runs: Run[] = [];
  /** Records which blocks a step runs. */
  const note = async (step: () => unknown, when: (position: number) => Run["when"]): Promise<void> => {
    const before = sequence.ids.map((_, s) => sequence.depthOf(s));
    await step();
    before.forEach((from, position) => {
      const to = sequence.depthOf(position);
      if (to > from) runs.push({ position, from, to, when: when(position) });
    });
  };
  await note(
    () => {
      advance(model, [{ sequence, positions: sequence.pending(numLayers).slice(0, -1) }], numLayers);
    },
    () => "prompt",
  );
  for (let step = 0; step < NEW_TOKENS; step++) {
    let token = 0;
    const last = sequence.length - 1;
    await note(
      async () => {
        token = (await decoder.next([{ sequence, sampler, room: 1 }]))[0]!.tokens[0]!.id;
      },
      (position) => (position === last ? "own" : "later"),
    );
    sequence.append(token);
  }
  const count = sequence.length - 1; // no block has run at the last token yet
  const words = sequence.ids.slice(0, count).map((id) => model.tokenizer.decode([id]).replace(/^ /, "·"));
  const kinds = [
    { when: "prompt", label: "with the prompt, in one batch", color: colors.gray },
    { when: "own", label: "when the next token was chosen", color: colors.blue },
    { when: "later", label: "later, when a token after it went deeper", color: colors.orange },
  ] as const;
  const bars = runs.filter(({ position }) => position < count);
  return frame({
    title: "Tokens that leave early are taken along, in one batch, by the next token that goes deep",
    legend: kinds,
    machine: where,
    height: 330,
    run:
      "sotu-12, greedy, exits after blocks 3 and 6 certified for 95 %, keys and values filled lazily; a prompt " +
      `of ${model.tokenizer.encode(PROMPT).length} tokens`,
    panels: [
      {
        plot: {
          marginLeft: 34,
          marginBottom: 62,
          marginTop: 22,
          x: {
            type: "band",
            label: "position",
            domain: words.map((_, i) => i),
            tickFormat: (i: number) => words[i]!,
            tickRotate: -50,
            tickSize: 0,
            padding: 0.12,
          },
          y: { label: "blocks", domain: [0, numLayers], ticks: [0, 3, 6, 9, 12] },
          marks: [
            ...kinds.map(({ when, color }) =>
              Plot.barY(
                bars.filter((run) => run.when === when),
                { x: "position", y1: "from", y2: "to", fill: color, insetTop: 0.5, insetBottom: 0.5 },
              ),
            ),
            Plot.ruleY([3, 6], { stroke: "currentColor", strokeDasharray: "3 3", strokeOpacity: 0.6 }),
          ],
        },
      },
    ],
  });
}
