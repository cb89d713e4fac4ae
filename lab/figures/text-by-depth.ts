/** The text that sotu-12 writes with every block, and with certified exits, each token coloured by its depth. */
import * as Plot from "@observablehq/plot";
import { generate, type GenerateOptions } from "early-exits";
import { machine } from "../report/machine.js";
import { openHeads, shippedCertificate } from "../ship/embedded.js";
import { colors, frame, type Panel } from "./frame.js";

const PROMPT = "The people of the United States";
/** Characters of a line. */
const LINE = 44;

export async function textByDepth(): Promise<string> {
  const where = machine();
  const heads = await openHeads();
  const { numLayers } = heads.model.config;
  const colorOf = new Map([3, 6].map((depth, i) => [depth, [colors.blue, colors.orange][i]!]));

  const panel = async (way: string, options: GenerateOptions): Promise<Panel> => {
    const run = generate(heads, PROMPT, { ...options, maxNewTokens: 48 });
    const words = [{ text: PROMPT, depth: numLayers, line: 0, from: 0 }];
    let [line, at] = [0, PROMPT.length];
    for await (const { text, depth } of run) {
      if (at + text.length > LINE) [line, at] = [line + 1, 0];
      words.push({ text: at === 0 ? text.trimStart() : text, depth, line, from: at });
      at += words.at(-1)!.text.length;
    }
    return {
      title: `${way}: ${run.summary.meanDepth.toFixed(1)} of ${numLayers} blocks a token`,
      plot: {
        margin: 0,
        marginTop: 4,
        x: { axis: null, domain: [0, LINE] },
        y: { axis: null, domain: [6, 0] },
        marks: [
          Plot.rect(words, {
            filter: ({ depth }: { depth: number }) => depth < numLayers,
            x1: ({ from, text }: (typeof words)[number]) => from + Number(text.startsWith(" ")),
            x2: ({ from, text }: (typeof words)[number]) => from + text.length,
            y1: ({ line }: { line: number }) => line + 0.08,
            y2: ({ line }: { line: number }) => line + 0.92,
            fill: ({ depth }: { depth: number }) => colorOf.get(depth),
            fillOpacity: 0.35,
          }),
          Plot.text(
            words.flatMap(({ text, line, from }) => Array.from(text, (letter, i) => ({ letter, line, at: from + i }))),
            {
              x: ({ at }: { at: number }) => at + 0.5,
              y: ({ line }: { line: number }) => line + 0.5,
              text: "letter",
              fontFamily: "ui-monospace, monospace",
              fontSize: 12.5,
            },
          ),
        ],
      },
    };
  };
  return frame({
    title: "Most tokens are settled long before the last block",
    legend: [
      { label: "left after 3 blocks", color: colors.blue },
      { label: "left after 6 blocks", color: colors.orange },
    ],
    machine: where,
    height: 150,
    run: `sotu-12, greedy; exits certified for 90 % agreement`,
    panels: [
      await panel("The full model", {}),
      await panel("With exits", { policy: (await shippedCertificate(90)).policy }),
    ],
  });
}
