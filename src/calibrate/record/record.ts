/**
 * Records of a text for calibration: at every position, the outputs of each exit's head and whether its token agrees
 * with the reference's on the same (teacher-forced) prefix; for sampled text also the total variation. It takes one
 * forward pass (two if another model is the reference) and keeps five numbers per position and exit, six for sampled
 * text. A store (usually a folder) keeps every document's record, so that an interrupted recording resumes.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { type ExitHeads, requireHeads } from "../../exits/heads/exit-heads.js";
import { confidenceAt } from "../../exits/heads/score.js";
import { disposeBatch, hiddenBatch, statesAt } from "../../exits/states/batches.js";
import { locatedIn, nonFiniteRow } from "../../exits/states/finite-teacher.js";
import { findingName, isCount, readFinding, writeFinding } from "../../exits/states/findings.js";
import type { CacheStore } from "../../exits/states/record-states.js";
import { createTeacher, type Teacher } from "../../exits/train/create-teacher.js";
import { rowOf } from "../../model/decode/final-logits.js";
import { nonFiniteError } from "../../model/decode/non-finite.js";
import { processedDistribution } from "../../model/decode/sampling.js";
import type { Window } from "../../model/documents.js";
import { parseSafetensors } from "../../tensor/formats/safetensors.js";
import { type SafetensorsInput, serializeSafetensors } from "../../tensor/formats/serialize-safetensors.js";
import { ROW_STATS, type Tensor } from "../../tensor/index.js";
import { sliceRows } from "../../tensor/ops/select.js";
import { giveTurn, rowsPerTurn } from "../../turns.js";
import {
  type CalibrationDocument,
  type Counted,
  countedAs,
  hashDocuments,
  type HashedDocument,
  judgedLength,
} from "./documents.js";
import { createJudge, type Judge, type JudgeOptions, lossOf } from "./judge.js";
import { describeSubject, madeOf, type Subject } from "./subject.js";

// A document's record and its safetensors file: `stats.E` and `agrees.E` for every exit E; with losses (judge.ts)
// `losses.E`, and `deep` for full depth. It takes 21 bytes per position and exit, 4 more with losses.

export interface ExitRecord {
  /** [T, 5], in the layout of `rowStats`; read them with `confidenceAt`. */
  readonly stats: Float32Array;
  /** [T] 1 if the head's argmax is the full model's. */
  readonly agrees: Uint8Array;
  /** [T] losses in 1/lossScale, if they are not 1 - agrees (judge.ts). */
  readonly losses?: Int32Array;
}

export interface DocumentRecord extends Counted {
  /** T: positions, each of which predicts a next token. */
  readonly positions: number;
  readonly exits: readonly ExitRecord[];
  /** [T] the loss of tokens that run all blocks, if the reference is another model. */
  readonly deep?: Int32Array;
}

type Entry = [string, SafetensorsInput];

function serializeRecord({ positions, exits, deep }: DocumentRecord): Uint8Array {
  const losses = (name: string, data: Int32Array): Entry => [name, { dtype: "I32", shape: [positions], data }];
  return serializeSafetensors([
    ...exits.flatMap(({ stats, agrees, losses: own }, exit): Entry[] => {
      const entries: Entry[] = [
        [`stats.${exit}`, { dtype: "F32", shape: [positions, ROW_STATS.width], data: stats }],
        [`agrees.${exit}`, { dtype: "U8", shape: [positions], data: agrees }],
      ];
      if (own !== undefined) entries.push(losses(`losses.${exit}`, own));
      return entries;
    }),
    ...(deep === undefined ? [] : [losses("deep", deep)]),
  ]);
}

/** Undefined unless it has the shape, and its numbers are in their ranges. */
function parseRecord(
  bytes: Uint8Array,
  depths: readonly number[],
  { tokens: positions }: HashedDocument,
  { greedy, other, lossScale }: Judge,
): RecordedTokens | undefined {
  const file = parseSafetensors(bytes);
  const losses = (name: string, wanted: boolean): Int32Array | undefined => {
    if (!wanted) return undefined;
    const values = file.array(name);
    const legal = values.length === positions && values.every((value: unknown) => isCount(value, lossScale));
    if (legal && values instanceof Int32Array) return values;
    throw new RangeError(name);
  };
  const exits = depths.map((_, exit): ExitRecord => {
    const own = losses(`losses.${exit}`, !greedy);
    return {
      stats: file.float32(`stats.${exit}`),
      agrees: file.bytes(`agrees.${exit}`),
      ...(own && { losses: own }),
    };
  });
  const deep = losses("deep", other);
  const legal = exits.every(
    ({ stats, agrees }) =>
      stats.length === positions * ROW_STATS.width &&
      nonFiniteRow(stats, "top1") === undefined &&
      agrees.length === positions &&
      agrees.every((value) => value <= 1),
  );
  return legal ? { positions, exits, ...(deep && { deep }) } : undefined;
}

export interface CalibrationRecords extends Subject {
  /** Tokens up to which documents were judged. */
  readonly sequenceLength: number;
  readonly documents: readonly DocumentRecord[];
}

export interface RecordDocumentsOptions extends JudgeOptions {
  /**
   * Tokens up to which documents are judged, and a certificate's claim goes: longer ones keep their beginning.
   * @default 2048, or the context limit if shorter
   */
  readonly sequenceLength?: number;
  /** Records already there (same model, heads and document) are read, not made. */
  readonly store?: CacheStore;
  readonly signal?: CancelSignal | undefined;
  /** Called after every document; a promise is awaited. */
  readonly onDocument?: (event: {
    readonly document: number;
    readonly documents: number;
    readonly positions: number;
  }) => unknown;
}

/**
 * Runs the model and its heads on documents. Throws an OptionError if none holds two tokens, and a NumericsError that
 * names the exit, or the block where it began, for NaN or infinite logits.
 */
export async function recordDocuments(
  heads: ExitHeads,
  documents: readonly CalibrationDocument[],
  options: RecordDocumentsOptions = {},
): Promise<CalibrationRecords> {
  requireHeads("recordDocuments", heads);
  const recorder = await createRecorder(heads, options);
  const texts = await hashDocuments(heads, documents, recorder.sequenceLength);
  const { signal, onDocument } = options;
  const records: DocumentRecord[] = [];
  for (const [index, text] of texts.entries()) {
    await giveTurn(signal);
    const made = await recorder.document(text);
    records.push(made);
    await onDocument?.({ document: index + 1, documents: texts.length, positions: made.positions });
  }
  return { ...recorder.subject, sequenceLength: recorder.sequenceLength, documents: records };
}

interface Recorder {
  readonly subject: Subject;
  readonly sequenceLength: number;
  /** Makes a record, or reads it from the store. */
  document(document: HashedDocument): Promise<DocumentRecord>;
}

export async function createRecorder(heads: ExitHeads, options: RecordDocumentsOptions): Promise<Recorder> {
  const { store, signal } = options;
  const sequenceLength = judgedLength(heads.model, options);
  const judge = createJudge(heads.model, options);
  const subject = await describeSubject(heads, judge, signal);
  return {
    subject,
    sequenceLength,
    async document(document) {
      const named = countedAs(document);
      const make = () => recordDocument(heads, document, judge, signal);
      if (store === undefined) return { ...named, ...(await make()) };
      const name = await findingName("record", [...madeOf(subject), sequenceLength, document.hash]);
      const kept = await readFinding(store, name, (bytes) => parseRecord(bytes, heads.depths, document, judge));
      if (kept !== undefined) return { ...kept, ...named };
      const made = { ...named, ...(await make()) };
      await writeFinding(store, name, serializeRecord(made));
      return made;
    },
  };
}

type RecordedTokens = Pick<DocumentRecord, "positions" | "exits" | "deep">;

/** Runs the model on a document, and its heads on the judged positions. */
async function recordDocument(
  { model, heads }: ExitHeads,
  { ids, from }: Window,
  judge: Judge,
  signal: CancelSignal | undefined,
): Promise<RecordedTokens> {
  const positions = ids.length - from;
  const exits = heads.map((): ExitRecord => ({
    stats: new Float32Array(positions * ROW_STATS.width),
    agrees: new Uint8Array(positions),
    ...(!judge.greedy && { losses: new Int32Array(positions) }),
  }));
  const deep = judge.other ? new Int32Array(positions) : undefined;
  const whole = [{ ids, from: 0 }];
  const batch = await hiddenBatch(
    model,
    whole,
    heads.map(({ depth }) => depth),
    signal,
  );
  let right = batch;
  const made: Tensor[] = []; // for one part
  const { vocabSize, hiddenSize } = model.config;
  const most = judge.greedy ? ids.length : Math.max(1, Math.floor(LOGITS_AT_ONCE / vocabSize));
  const rowsAtOnce = Math.min(most, rowsPerTurn(vocabSize * hiddenSize));
  try {
    if (judge.other) right = await hiddenBatch(judge.reference, whole, [], signal);
    for (let begin = from; begin < ids.length; begin += rowsAtOnce) {
      const to = begin - from;
      const rows = (states: Tensor): Tensor => {
        const taken = sliceRows(states, begin, Math.min(ids.length, begin + rowsAtOnce));
        made.push(taken);
        return taken;
      };
      const teacher = await locatedIn(judge.reference, [ids], "calibrate", () =>
        createTeacher(judge.reference, rows(right.final)),
      );
      made.push(teacher.logits);
      const losses = judge.greedy ? undefined : await lossesAgainst(judge, teacher, ids, begin);
      for (const [index, head] of heads.entries()) {
        await giveTurn(signal);
        const logits = await head.logits(rows(statesAt(batch, head, "calibrate")));
        made.push(logits);
        const stats = await head.stats(logits);
        const broken = nonFiniteRow(stats, "top1");
        if (broken !== undefined) {
          throw await nonFiniteError(model, ids.slice(0, begin + broken + 1), {
            what: `the logits of exit ${index}`,
            depth: head.depth,
            caller: "calibrate",
          });
        }
        const record = exits[index]!;
        record.stats.set(stats, to * ROW_STATS.width);
        teacher.argmax.forEach((id, r) => {
          record.agrees[to + r] = Number(confidenceAt(stats, r).argmax === id);
        });
        if (losses !== undefined) record.losses!.set(losses(await head.allLogits(logits)), to);
        logits.dispose();
      }
      if (deep !== undefined) {
        const own = await locatedIn(model, [ids], "calibrate", () => createTeacher(model, rows(batch.final)));
        const differing = teacher.argmax.map((id, r) => Number(own.argmax[r] !== id));
        made.push(own.logits);
        deep.set(losses === undefined ? differing : losses(await own.logits.read()), to);
      }
      for (const tensor of made.splice(0)) tensor.dispose();
    }
  } finally {
    for (const tensor of made) tensor.dispose();
    disposeBatch(batch);
    if (right !== batch) disposeBatch(right);
  }
  return { positions, exits, ...(deep && { deep }) };
}

/** Logits of one head in memory at once, roughly, if they are read back (sampled text). */
const LOGITS_AT_ONCE = 2 ** 22;

/** Maps logits [R·V] at the positions from `begin` on to their losses [R] against the teacher's. */
async function lossesAgainst(
  judge: Judge,
  { logits }: Teacher,
  ids: readonly number[],
  begin: number,
): Promise<(values: Float32Array) => Int32Array> {
  const vocabSize = logits.shape[1]!;
  const distributions = (values: Float32Array) =>
    Array.from({ length: values.length / vocabSize }, (_, r) =>
      processedDistribution(rowOf(values, r, vocabSize), ids.slice(0, begin + r + 1), judge.sampling),
    );
  const right = distributions(await logits.read());
  return (values) => Int32Array.from(distributions(values), (used, r) => lossOf(judge, right[r]!, used));
}
