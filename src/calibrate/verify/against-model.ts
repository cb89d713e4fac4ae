/** Checks that model, heads and records are those of the certificate, with weights stored in the same way. */
import type { CancelSignal } from "../../cancel-signal.js";
import type { ExitHeads } from "../../exits/heads/exit-heads.js";
import type { Model } from "../../model/index.js";
import { sameSampling } from "../../model/decode/sampling.js";
import type { Certificate } from "../certificate/certificate.js";
import type { AnswerLoss, AnswerTask } from "../record/answers/losses.js";
import type { CalibrationDocument } from "../record/documents.js";
import type { CalibrationRecords } from "../record/record.js";
import { judgedBy } from "../record/subject.js";

export interface VerifyOptions {
  readonly records?: CalibrationRecords;
  readonly model?: Model;
  /** Their model is checked too. */
  readonly heads?: ExitHeads;
  /** The reference, if it is not the model that runs; documents need it then. */
  readonly against?: Model;
  /**
   * All calibration documents (for own text, the prompts in the given order), duplicates and groups included; more are
   * left out. Needs heads.
   */
  readonly documents?: readonly CalibrationDocument[];
  /** Of a certificate about answers, the prompts that were given, in their order. Needs heads. */
  readonly prompts?: readonly (string | AnswerTask)[];
  /** The function, if its loss is one. It runs only if it is the one that the certificate names. */
  readonly answerLoss?: AnswerLoss;
  /** Name of the function, as in `calibrate`. */
  readonly lossHash?: string;
  /**
   * Test documents, by position in the certificate's order, on which the policy also runs token by token.
   * @default all
   */
  readonly rerun?: readonly number[];
  /**
   * With a fill that changes other tokens every candidate runs on every test document: at most on so many positions in
   * all, or else only the policy runs. @default Infinity
   */
  readonly limit?: number;
  readonly signal?: CancelSignal;
  /** Called after every test document, on which all candidates have run; a promise is awaited. */
  readonly onDocument?: (event: { readonly document: number; readonly documents: number }) => unknown;
}

/** Differences from the certificate. */
export async function checkSubjects(c: Certificate, options: VerifyOptions): Promise<string[]> {
  const { records, heads, against } = options;
  const model = heads?.model ?? options.model;
  return [
    ...(model === undefined ? [] : await checkModel(c, model)),
    ...(heads === undefined ? [] : await checkHeads(c, heads)),
    ...(records === undefined ? [] : checkRecords(c, records)),
    ...(against === undefined ? [] : await checkReference(c, against)),
  ];
}

/** The reasons of statements that do not hold. */
function refuting(statements: readonly (readonly [holds: boolean, reason: string])[]): string[] {
  return statements.flatMap(([holds, reason]) => (holds ? [] : reason));
}

async function checkModel({ policy, numLayers }: Certificate, model: Model): Promise<string[]> {
  const { dtype } = policy.certified!;
  const { storedAs, config } = model;
  return refuting([
    [(await model.hash()) === policy.modelHash, "model: it is not the one that was certified"],
    [storedAs === dtype, `model: its weights are stored as ${storedAs}, not as ${dtype}`],
    [config.numLayers === numLayers, `model: it has ${config.numLayers} blocks, not ${numLayers}`],
  ]);
}

async function checkReference({ reference }: Certificate, model: Model): Promise<string[]> {
  if (reference.kind === "same") {
    return ["reference: the policy was compared with the model that runs, not with another"];
  }
  const same = model.storedAs === reference.dtype && (await model.hash()) === reference.checkpoint;
  return refuting([[same, `reference: it is not the checkpoint as ${reference.dtype} that was compared with`]]);
}

async function checkHeads({ policy }: Certificate, heads: ExitHeads): Promise<string[]> {
  const depths = depthsOf(policy);
  return refuting([
    [(await heads.hash()) === policy.headsHash, "heads: they are not the ones that were certified"],
    [heads.depths.join() === depths, `heads: they are at depths ${heads.depths.join()}, not ${depths}`],
  ]);
}

function depthsOf({ exits }: Certificate["policy"]): string {
  return exits.map(({ depth }) => depth).join();
}

function checkRecords(
  { policy, sequenceLength, numLayers, sampling, reference }: Certificate,
  records: CalibrationRecords,
): string[] {
  const { dtype } = policy.certified!;
  const judged = judgedBy(records);
  const sameJudge =
    sameSampling(judged.sampling, sampling) &&
    judged.reference.dtype === reference.dtype &&
    judged.reference.checkpoint === reference.checkpoint;
  const sameShape =
    records.depths.join() === depthsOf(policy) &&
    records.sequenceLength === sequenceLength &&
    records.numLayers === numLayers;
  return refuting([
    [
      records.modelHash === policy.modelHash && records.headsHash === policy.headsHash,
      "records: they are of another model or other heads",
    ],
    [records.dtype === dtype, `records: the weights were stored as ${records.dtype}, not as ${dtype}`],
    [sameJudge, "records: their tokens were sampled in another way, or compared with another model"],
    [sameShape, "records: their exits or the judged length are not those of the certificate"],
  ]);
}
