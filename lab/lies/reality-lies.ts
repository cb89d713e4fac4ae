/**
 * Certificates whose arithmetic is consistent, because the library itself made them, from evidence that is not true:
 *   counts        disagreements of some tokens were recorded as agreements
 *   chosen        candidates were chosen on the test documents, and are said to come from the grid split
 *   omitted       documents with large losses were left out
 *   copied        documents were counted as often as they were given
 *   lengthened    documents are said to hold more tokens, all of which agree
 *   foreign       documents that were not given
 *   window        another window length
 *   settings      other settings than those that proposed the candidates
 *   regrouped     groups that the documents do not name
 *   priced        other costs, so that another candidate was chosen
 *   layers        a model with more blocks
 *   stranger      other heads
 */
import type { Certificate } from "early-exits";
import { calibrateRecords, type CalibrationRecords, type CertifyPolicyOptions } from "early-exits/calibrate";
import type { Rng } from "early-exits/tensor";
import { sealCertificate } from "../../src/calibrate/certificate/certificate.js";
import { certify } from "../../src/calibrate/certify/certify.js";
import { certifySettings } from "../../src/calibrate/certify/settings.js";
import { arrange } from "../../src/calibrate/record/split.js";
import { recordedEvidence, tableOf } from "../../src/calibrate/record/evidence.js";

export const realityLies = [
  "counts",
  "chosen",
  "omitted",
  "copied",
  "lengthened",
  "foreign",
  "window",
  "settings",
  "regrouped",
  "priced",
  "layers",
  "stranger",
] as const;
type RealityLie = (typeof realityLies)[number];

/**
 * A lie of this kind. `truth` are the records of the documents that the verifier will be given. Undefined if the draw
 * changed nothing.
 */
export async function realityLie(
  truth: CalibrationRecords,
  options: CertifyPolicyOptions,
  kind: RealityLie,
  rng: Rng,
): Promise<Certificate | undefined> {
  const honest = await calibrateRecords(truth, options);
  const lie = await makers[kind](truth, options, rng, honest.certificate);
  return JSON.stringify(lie) === JSON.stringify(honest.certificate) ? undefined : lie;
}

type Maker = (
  truth: CalibrationRecords,
  options: CertifyPolicyOptions,
  rng: Rng,
  honest: Certificate,
) => Promise<Certificate>;

const from = async (records: CalibrationRecords, options: CertifyPolicyOptions): Promise<Certificate> =>
  (await calibrateRecords(records, options)).certificate;

const makers: Readonly<Record<RealityLie, Maker>> = {
  counts: (truth, options, rng) => {
    const share = 0.05 + 0.9 * rng.uniform();
    const documents = truth.documents.map((document) => ({
      ...document,
      exits: document.exits.map((exit) => ({
        ...exit,
        agrees: exit.agrees.map((agree) => (agree === 0 && rng.uniform() < share ? 1 : agree)),
      })),
    }));
    return from({ ...truth, documents }, options);
  },
  async chosen(truth, options, rng) {
    const settings = certifySettings(options);
    const arrangement = await arrange(truth.documents, settings);
    const evidence = recordedEvidence(truth, arrangement);
    const score = settings.score === "best" ? "margin" : settings.score;
    // A threshold that is just lax enough on the test documents, as one candidate that was "planned".
    const test = tableOf(arrangement.documents.slice(arrangement.grid), score);
    const sorted = test.oriented.map((column) => column.toSorted());
    const vector = sorted.map((column) => column[Math.floor(column.length * (0.1 + 0.8 * rng.uniform()))]!);
    const { certificate } = await certify({ ...evidence, given: { score, vectors: [vector] } }, settings);
    return certificate;
  },
  omitted: (truth, options, rng) => {
    const left = truth.documents.filter(() => rng.uniform() > 0.1);
    return from({ ...truth, documents: left.length > 3 ? left : truth.documents.slice(1) }, options);
  },
  copied: (truth, options, rng) => {
    const chosen = truth.documents[rng.integer(truth.documents.length)]!;
    const copies = Array.from({ length: 1 + rng.integer(5) }, () => chosen);
    return from({ ...truth, documents: [...truth.documents, ...copies] }, options);
  },
  lengthened: (truth, options, rng) => {
    const more = 1 + rng.integer(20);
    const documents = truth.documents.map((document) =>
      rng.uniform() < 0.7
        ? document
        : {
            ...document,
            positions: document.positions + more,
            exits: document.exits.map(({ stats, agrees }) => ({
              stats: Float32Array.from([...stats, ...Array.from({ length: more }, () => [0, 9, 1, 9, 0.01]).flat()]),
              agrees: Uint8Array.from([...agrees, ...Array.from({ length: more }, () => 1)]),
            })),
          },
    );
    return from({ ...truth, documents }, options);
  },
  foreign: (truth, options, rng) => {
    const documents = truth.documents.map((document, i) =>
      i % (2 + rng.integer(3)) === 0 ? { ...document, hash: hexOf(rng) } : document,
    );
    return from({ ...truth, documents }, options);
  },
  window: (truth, options, rng) =>
    from({ ...truth, sequenceLength: truth.sequenceLength + 1 + rng.integer(100) }, options),
  settings: (truth, options, rng, honest) =>
    rng.uniform() < 0.5
      ? from(truth, { ...options, candidates: 1 + rng.integer(2) }).then(async (certificate) =>
          sealed({ ...certificate, settings: honest.settings }),
        )
      : sealed({
          ...honest,
          settings: { ...honest.settings, candidates: honest.settings.candidates + 1 + rng.integer(9) },
        }),
  regrouped: (truth, options, rng) => {
    const names = Array.from({ length: 12 }, () => hexOf(rng));
    const documents = truth.documents.map((document) => ({ ...document, group: names[rng.integer(12)]! }));
    return from({ ...truth, documents }, options);
  },
  priced: (truth, options, rng) =>
    from({ ...truth, ledger: { ...truth.ledger, block: truth.ledger.block * (1.5 + rng.uniform()) } }, options),
  layers: (truth, options, rng) => from({ ...truth, numLayers: truth.numLayers + 1 + rng.integer(5) }, options),
  stranger: (truth, options, rng) => from({ ...truth, headsHash: hexOf(rng) }, options),
};

function sealed(certificate: Certificate): Promise<Certificate> {
  return sealCertificate({ ...certificate, digest: undefined } as never);
}

function hexOf(rng: Rng): string {
  return Array.from({ length: 64 }, () => rng.integer(16).toString(16)).join("");
}
