/**
 * Certificates for sampled text, from the same segments as those for greedy text. The loss is the mean total variation
 * to the distribution of the float32 model, of which the model in int8 is another way of storing it. On test segments:
 * what each policy keeps, and its speed beside the float32 model without exits, in processor time, all ways in turns.
 * Records are kept in .kept, which is not committed: a run that was stopped goes on where it was.
 */
import { join } from "node:path";
import { exactFill, type ExitHeads } from "early-exits";
import { playPolicy, recordDocuments } from "early-exits/calibrate";
import { createDevice, folderStore, readHeads, readJson, readModel } from "early-exits/node";
import { folderOfPolicies } from "../../src/calibrate/open-policy.js";
import { compareWays, type JudgedWay } from "../judged/compare-ways.js";
import { machine } from "../report/machine.js";
import { processorTime } from "../speed/timing.js";
import { type SampledRow, type ShippedFacts, writeShipped } from "./card.js";
import { certifyLevels, writeCertificates } from "./certify-levels.js";
import type { ShipSettings } from "./ship-folder.js";
import type { ShippingTexts } from "./texts.js";

export const SAMPLING = { temperature: 0.8, topP: 0.95 } as const;
/** The first is the reference. */
const DTYPES = ["float32", "int8"] as const;
const LEVELS = [0.95, 0.9, 0.8] as const;
/** Beginnings of test segments, their tokens, and new tokens. */
const PROMPTS = 40;
const PROMPT_TOKENS = 16;
const TOKENS = 112;

/** Writes the certificates, for heads that lie in the folder, and brings shipped.json and the model card up to date. */
export async function shipSampled(
  { folder, documents, note }: Pick<ShipSettings, "folder" | "documents" | "note">,
  texts: ShippingTexts,
): Promise<void> {
  const where = machine();
  const device = await createDevice("wasm");
  const open = async (dtype: SampledRow["dtype"]): Promise<ExitHeads> =>
    readHeads(join(folder, "heads"), await readModel(folder, { device, dtype }));
  const full = await open(DTYPES[0]);
  const { tokenizer, config } = full.model;
  const fill = exactFill(config);
  const rows: Omit<SampledRow, "ratio">[] = [];
  const ways: JudgedWay[] = [];
  let certified = 0;
  for (const dtype of DTYPES) {
    const heads = dtype === DTYPES[0] ? full : await open(dtype);
    const store = folderStore(join(folder, ".kept", `sampled-${dtype}`));
    const judged = { sampling: SAMPLING, store, ...(heads !== full && { against: full.model }) };
    note(`recording for ${dtype}, sampled`);
    const calibration = await recordDocuments(heads, texts.calibration.slice(0, documents), judged);
    const test = await recordDocuments(heads, texts.test.slice(0, documents), judged);
    const levels = await certifyLevels(heads, calibration, test, { fill, levels: LEVELS, timed: false });
    const place = folderOfPolicies(SAMPLING, heads === full ? undefined : dtype);
    await writeCertificates(join(folder, "certificates", place), levels);
    const never = heads.depths.map((depth) => ({ depth, threshold: "never" }) as const);
    rows.push({ dtype, agreement: undefined, test: playPolicy(test, { score: "margin", exits: never }) });
    ways.push({ name: dtype, heads, options: { ...SAMPLING, now: processorTime } });
    for (const { agreement, certificate, test: outcome } of levels) {
      certified = certificate.documents.length;
      rows.push({ dtype, agreement, test: outcome });
      ways.push({
        name: `${dtype} ${agreement}`,
        heads,
        options: { ...SAMPLING, policy: certificate.policy, now: processorTime },
      });
    }
  }
  const beginnings = texts.test.map(({ text }) => tokenizer.encode(text).slice(0, PROMPT_TOKENS)).slice(0, PROMPTS);
  note("writing sampled text in turns");
  const outcomes = await compareWays(ways, beginnings, { tokens: TOKENS, seed: 1 });
  const timed = rows.map((row, i): SampledRow => ({ ...row, ratio: outcomes[i]!.ratio }));
  const sampled = { sampling: SAMPLING, prompts: beginnings.length, tokens: TOKENS, rows: timed, machine: where };
  const shipped = (await readJson(join(folder, "shipped.json"))) as ShippedFacts;
  await writeShipped(folder, { ...shipped, sampled }, certified);
}
