/**
 * Heads under training: the tokens that each one's loss compares, and the teacher over them. Linear heads share one
 * list, its rows and its teacher; dense ones learn from the whole vocabulary.
 */
import type { Model } from "../../model/index.js";
import type { Tensor } from "../../tensor/index.js";
import type { ExitHead } from "../heads/exit-head.js";
import type { ExitHeads } from "../heads/exit-heads.js";
import type { BatchSource, Outcome } from "../states/batches.js";
import { createTeacher, type Teacher } from "./create-teacher.js";
import { type HeadLoss, headLossDefaults } from "./head-loss.js";
import { type ExitQuality, measureExits, type MeasureOptions } from "./measure-exits.js";
import { type RestWeights, TrainingList } from "./training-list.js";

/** A head's logits, and what the loss compares them with. */
export interface Student {
  readonly head: ExitHead;
  /** The compared tokens; undefined for the whole vocabulary. */
  readonly list: TrainingList | undefined;
  /** Of the rest's logit, if there is a list. */
  readonly rest: RestWeights | undefined;
}

export interface Students {
  readonly all: readonly Student[];
  readonly list: TrainingList | undefined;
  /** Help to train, and are not the heads'. */
  readonly parameters: readonly Tensor[];
  dispose(): void;
}

/** Linear heads are trained on the list, if given; a preview of the model's unembedding is left out. */
export async function createStudents(
  { model, heads }: ExitHeads,
  listed: readonly number[] | undefined,
): Promise<Students> {
  const trained = heads.filter(({ shape }) => shape.kind !== "preview");
  const used = listed !== undefined && trained.some(({ shape }) => shape.kind === "linear");
  const list = used ? await TrainingList.create(model, listed, { drawn: listed.length >> 3 }) : undefined;
  const all = trained.map((head): Student => {
    const own = head.shape.kind === "linear" ? list : undefined;
    return { head, list: own, rest: own?.createRest() };
  });
  const parameters = all.flatMap(({ rest }) => (rest === undefined ? [] : [rest.row, rest.bias]));
  return {
    all,
    list,
    parameters,
    dispose() {
      for (const tensor of parameters) tensor.dispose();
      list?.dispose();
    },
  };
}

/** Over the list, and over the vocabulary (undefined) if a head needs it. */
type Teachers = ReadonlyMap<TrainingList | undefined, Teacher>;

/** Teachers at final states [R, C]; recorded outcomes need not be computed. */
export async function createTeachers(
  model: Model,
  { all, list }: Students,
  final: Tensor,
  { loss, recorded }: { readonly loss: HeadLoss; readonly recorded: Outcome | undefined },
): Promise<Teachers> {
  const topK = loss.kind === "kl" ? (loss.topK ?? headLossDefaults.topK) : 0;
  const teachers = new Map<TrainingList | undefined, Teacher>();
  if (list !== undefined) teachers.set(list, await list.teacher(final, recorded, { topK }));
  if (all.some((student) => student.list === undefined)) {
    teachers.set(undefined, await createTeacher(model, final, { topK }));
  }
  return teachers;
}

/** Heads with a logit for the rest on their list, others as they decode. */
export function measureStudents(
  heads: ExitHeads,
  { all }: Students,
  held: BatchSource,
  options: MeasureOptions,
): Promise<ExitQuality[]> {
  const listed = all.find(({ rest }) => rest !== undefined);
  if (listed === undefined) return measureExits(heads, held, options);
  const logits = (head: ExitHead, states: Tensor): Tensor | undefined => {
    const { rest, list } = all.find((student) => student.head === head) ?? {};
    return rest && list!.logits(head.vectors!(states), rest);
  };
  return measureExits(heads, held, { ...options, list: { ids: listed.list!.ids, logits } });
}
