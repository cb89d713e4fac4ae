/**
 * Heads under training: which tokens the loss of each compares, and the teacher over them. Heads with the same list
 * share its rows and its teacher.
 */
import type { Model } from "../../model/index.js";
import type { Tensor } from "../../tensor/index.js";
import type { ExitHead, ExitHeads, Teacher } from "../heads/index.js";
import type { BatchSource, Outcome } from "../states/index.js";
import { createTeacher } from "./create-teacher.js";
import { type HeadLoss, headLossDefaults } from "./head-loss.js";
import { type ExitQuality, measureExits, type MeasureOptions } from "./measure-exits.js";
import { type RestWeights, TrainingList } from "./training-list.js";

/** How one head computes the logits that the loss compares, and what it compares them with. */
export interface Student {
  readonly head: ExitHead;
  /** The tokens that are compared, if they are not the whole vocabulary. */
  readonly list: TrainingList | undefined;
  /** The weights of the rest's logit, if the head has none of its own. */
  readonly rest: RestWeights | undefined;
}

export interface Students {
  readonly all: readonly Student[];
  readonly lists: readonly TrainingList[];
  /** Weights that help to train, and are not the heads'. */
  readonly parameters: readonly Tensor[];
  dispose(): void;
}

/**
 * Heads with a list of their own are trained on that, heads that use the model's unembedding on the given one; heads
 * with nothing to train are left out.
 */
export async function createStudents(
  { model, heads }: ExitHeads,
  listed: readonly number[] | undefined,
): Promise<Students> {
  const lists = new Map<string, TrainingList>();
  const all: Student[] = [];
  for (const head of heads) {
    if (head.isModelsOwn) continue;
    const shortlist = head.readsUnembedding ? undefined : head.shape.shortlist; // a preview's list trains nothing
    const ids = head.readsUnembedding ? listed : shortlist;
    const key = ids?.join() ?? "";
    const drawn = shortlist === undefined ? (ids?.length ?? 0) >> 3 : 0;
    const list = ids && (lists.get(`${key} ${drawn}`) ?? (await TrainingList.create(model, ids, { drawn })));
    if (list !== undefined) lists.set(`${key} ${drawn}`, list);
    all.push({ head, list, rest: shortlist === undefined ? list?.createRest() : undefined });
  }
  const parameters = all.flatMap(({ rest }) => (rest === undefined ? [] : [rest.row, rest.bias]));
  return {
    all,
    lists: [...lists.values()],
    parameters,
    dispose() {
      for (const tensor of parameters) tensor.dispose();
      for (const list of lists.values()) list.dispose();
    },
  };
}

/** The teacher over every list, and over the vocabulary (undefined) if a head needs it. */
type Teachers = ReadonlyMap<TrainingList | undefined, Teacher>;

/** Teachers at rows [R, C] of final states. What was recorded of them, the lists need not compute. */
export async function createTeachers(
  model: Model,
  { all, lists }: Students,
  final: Tensor,
  { loss, recorded }: { readonly loss: HeadLoss; readonly recorded: Outcome | undefined },
): Promise<Teachers> {
  const topK = loss.kind === "kl" ? (loss.topK ?? headLossDefaults.topK) : 0;
  const teachers = new Map<TrainingList | undefined, Teacher>();
  for (const list of lists) teachers.set(list, await list.teacher(final, recorded, { topK }));
  if (all.some(({ list }) => list === undefined)) {
    teachers.set(undefined, await createTeacher(model, final, { topK }));
  }
  return teachers;
}

/** Measures heads with a logit for the rest on their list, and the others as they decode. */
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
    return rest && list!.logits(head.mappedOf(states), rest);
  };
  return measureExits(heads, held, { ...options, list: { ids: listed.list!.ids, logits } });
}
