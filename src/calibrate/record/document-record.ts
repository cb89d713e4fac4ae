/**
 * A document's record and its safetensors file: `stats.E` and `agrees.E` for every exit E; with losses (judge.ts)
 * `losses.E`, and `deep` for full depth. It takes 21 bytes per position and exit, 4 more with losses.
 */
import { ROW_STATS } from "../../tensor/index.js";
import { parseSafetensors } from "../../tensor/formats/safetensors.js";
import { type SafetensorsInput, serializeSafetensors } from "../../tensor/formats/serialize-safetensors.js";

export interface ExitRecord {
  /** [T, 5], in the layout of `rowStats`; read them with `confidenceAt`. */
  readonly stats: Float32Array;
  /** [T] 1 if the head's argmax is the full model's. */
  readonly agrees: Uint8Array;
  /** [T] losses in 1/lossScale, if they are not 1 - agrees (judge.ts). */
  readonly losses?: Int32Array;
}

export interface DocumentRecord {
  /** SHA-256 of the document's token ids. */
  readonly hash: string;
  /** SHA-256 of its group's name; absent if no document has one. */
  readonly group?: string;
  /** The smallest hash among its duplicates and near duplicates; absent without any. */
  readonly kin?: string;
  /** Documents that share passages have the same cluster. */
  readonly cluster?: string;
  /** T: positions, each of which predicts a next token. */
  readonly positions: number;
  readonly exits: readonly ExitRecord[];
  /** [T] the loss of tokens that run all blocks, if the reference is another model. */
  readonly deep?: Int32Array;
}

type Entry = [string, SafetensorsInput];

export function serializeRecord({ positions, exits, deep }: DocumentRecord): Uint8Array {
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

/** Hash and number of exits are in the file's name only. */
export function parseRecord(bytes: Uint8Array, hash: string, exits: number): DocumentRecord {
  const file = parseSafetensors(bytes);
  const integers = (name: string): Int32Array | undefined =>
    file.names.includes(name) ? (file.array(name) as Int32Array) : undefined;
  const deep = integers("deep");
  return {
    hash,
    positions: file.info("agrees.0").shape[0]!,
    exits: Array.from({ length: exits }, (_, exit) => {
      const losses = integers(`losses.${exit}`);
      return {
        stats: file.float32(`stats.${exit}`),
        agrees: file.bytes(`agrees.${exit}`),
        ...(losses && { losses }),
      };
    }),
    ...(deep && { deep }),
  };
}
