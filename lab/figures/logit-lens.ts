/**
 * The token that sotu-12 would predict if it stopped after each block: the model's own final norm and unembedding,
 * applied to the hidden states between the blocks.
 */
import * as Plot from "@observablehq/plot";
import { logitLens as readLens } from "early-exits";
import { machine } from "../report/machine.js";
import { documentsOf, openModel } from "../ship/embedded.js";
import { colors, frame } from "./frame.js";

const BEGIN = 48;
const POSITIONS = 10;

export async function logitLens(): Promise<string> {
  const where = machine();
  const model = await openModel("sotu-12");
  const { numLayers } = model.config;
  const [text] = await documentsOf("sotu-12", "test");
  const ids = model.tokenizer.encode(text!).slice(0, BEGIN + POSITIONS);
  const word = (id: number): string => model.tokenizer.decode([id]).replace(/^ /, "·").replaceAll("\n", "⏎");
  const tokens = (await readLens(model, ids)).slice(BEGIN);
  const predictions = Array.from({ length: numLayers }, (_, block) =>
    tokens.map(({ guesses }, i) => {
      const { id, probability: p } = guesses[block]![0]!;
      return { depth: block + 1, position: BEGIN + i, id, p };
    }),
  ).flat();
  const final = new Map(
    predictions.filter(({ depth }) => depth === numLayers).map(({ position, id }) => [position, id]),
  );
  const agrees = ({ position, id }: { position: number; id: number }): boolean => id === final.get(position);
  const bands = { x: "position", y: "depth", inset: 0.75 } as const;
  return frame({
    title: "What the model would predict after each block: easy tokens are settled early, hard ones change to the end",
    legend: [
      { label: "already the final answer", color: colors.blue },
      { label: "another token; stronger is more probable", color: colors.gray },
    ],
    machine: where,
    height: 350,
    run: `sotu-12 on a test speech; each column is a position, its token below, the predicted next token in the cells`,
    panels: [
      {
        plot: {
          marginLeft: 40,
          marginBottom: 40,
          padding: 0,
          marginTop: 22,
          x: {
            type: "band",
            label: null,
            domain: [...final.keys()],
            tickFormat: (position: number) => word(ids[position]!),
            tickSize: 0,
          },
          y: { type: "band", reverse: true, label: "depth", tickSize: 0 },
          marks: [
            Plot.cell(predictions.filter(agrees), {
              ...bands,
              fill: colors.blue,
              fillOpacity: ({ p }: { p: number }) => 0.12 + 0.6 * p,
            }),
            Plot.cell(
              predictions.filter((one) => !agrees(one)),
              { ...bands, fill: colors.gray, fillOpacity: ({ p }: { p: number }) => 0.08 + 0.5 * p },
            ),
            Plot.text(predictions, {
              x: "position",
              y: "depth",
              text: ({ id }: { id: number }) => word(id),
              fontSize: 11,
            }),
          ],
        },
      },
    ],
  });
}
