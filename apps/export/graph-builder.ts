/**
 * `GraphBuilder` collects nodes, weights, inputs and outputs of one ONNX graph and serializes a ModelProto
 * (onnx/onnx.proto of github.com/onnx/onnx, by field numbers). Weights are in a `WeightFile` or, if given as values,
 * inside.
 */
import { encodeMessage, type Field, type FieldValue, repeated } from "./protobuf.js";
import type { Placed } from "./weight-file.js";

const elementTypes = { float32: 1, int64: 7 } as const; // TensorProto.DataType
type ElementType = keyof typeof elementTypes;

/** Values of attributes; a float is marked, because JavaScript has one kind of number. */
type Attribute = number | readonly number[] | string | { readonly float: number };

interface NodeOptions {
  readonly outputs?: readonly string[];
  readonly attributes?: Readonly<Record<string, Attribute>>;
}

/** Sizes of a tensor; one that varies has a name instead. */
export type Sizes = readonly (number | string)[];

export interface Port {
  readonly name: string;
  readonly type: ElementType;
  readonly sizes: Sizes;
}

export const OPSET = 20;
/** The file of the weights of all graphs. */
export const WEIGHTS = "weights.bin";

export class GraphBuilder {
  readonly #nodes: Uint8Array[] = [];
  readonly #weights = new Map<string, Uint8Array>();
  readonly #inputs: Port[] = [];
  readonly #outputs: Port[] = [];
  #names = 0;

  constructor(readonly name: string) {}

  /** Returns the name of the first result. An empty input name means "absent". */
  node(
    type: string,
    inputs: readonly string[],
    { outputs = [`${type}_${this.#names++}`], attributes = {} }: NodeOptions = {},
  ): string {
    this.#nodes.push(
      encodeMessage([
        ...repeated(1, inputs),
        ...repeated(2, outputs),
        [3, outputs[0]!],
        [4, type],
        ...Object.entries(attributes).map(([name, value]): Field => [5, attribute(name, value)]),
      ]),
    );
    return outputs[0]!;
  }

  /** Returns the names of parts of these sizes. */
  split(x: string, axis: number, sizes: readonly number[]): string[] {
    const outputs = sizes.map(() => `Split_${this.#names++}`);
    this.node("Split", [x, this.int64(...sizes)], { outputs, attributes: { axis } });
    return outputs;
  }

  /** Adds a weight of the weight file, once per name. */
  placed(name: string, shape: readonly number[], { offset, bytes }: Placed): string {
    const external = { location: WEIGHTS, offset: String(offset), length: String(bytes) };
    return this.#weight(name, shape, "float32", [
      ...Object.entries(external).map(([key, value]): Field => [
        13,
        encodeMessage([
          [1, key],
          [2, value],
        ]),
      ]),
      [14, 1], // TensorProto.EXTERNAL
    ]);
  }

  /** Adds a weight inside the graph, once per name. */
  weight(name: string, shape: readonly number[], data: Float32Array | BigInt64Array): string {
    const type = data instanceof Float32Array ? "float32" : "int64";
    return this.#weight(name, shape, type, [[9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)]]);
  }

  /** A constant vector of int64, the type that shapes and axes have in ONNX. */
  int64(...values: readonly number[]): string {
    return this.weight(`int64_${values.join("_")}`, [values.length], BigInt64Array.from(values, BigInt));
  }

  integer(value: number): string {
    return this.weight(`integer_${value}`, [], BigInt64Array.of(BigInt(value)));
  }

  scalar(value: number): string {
    return this.weight(`scalar_${value}`, [], Float32Array.of(value));
  }

  input(name: string, type: ElementType, sizes: Sizes): string {
    this.#inputs.push({ name, type, sizes });
    return name;
  }

  output(name: string, type: ElementType, sizes: Sizes): void {
    this.#outputs.push({ name, type, sizes });
  }

  /** The graph as a ModelProto. */
  serialize(): Uint8Array<ArrayBuffer> {
    const graph = encodeMessage([
      ...repeated(1, this.#nodes),
      [2, this.name],
      ...repeated(5, this.#weights.values()),
      ...repeated(11, this.#inputs.map(valueInfo)),
      ...repeated(12, this.#outputs.map(valueInfo)),
    ]);
    return encodeMessage([
      [1, 9], // ir_version
      [2, "early-exits"],
      [7, graph],
      [
        8,
        encodeMessage([
          [1, ""],
          [2, OPSET],
        ]),
      ],
    ]);
  }

  #weight(name: string, shape: readonly number[], type: ElementType, content: readonly Field[]): string {
    if (!this.#weights.has(name)) {
      this.#weights.set(name, encodeMessage([...repeated(1, shape), [2, elementTypes[type]], [8, name], ...content]));
    }
    return name;
  }
}

/** An AttributeProto; its type says which field holds the value. */
function attribute(name: string, value: Attribute): Uint8Array {
  const fields = (field: number, type: number, values: Iterable<FieldValue>): Uint8Array =>
    encodeMessage([[1, name], ...repeated(field, values), [20, type]]);
  if (typeof value === "string") return fields(4, 3, [value]);
  if (typeof value === "number") return fields(3, 2, [value]);
  return "float" in value ? fields(2, 1, [value]) : fields(8, 7, value);
}

/** A ValueInfoProto with a TypeProto.Tensor. */
function valueInfo({ name, type, sizes }: Port): Uint8Array {
  const dims = sizes.map((size) => encodeMessage([[typeof size === "number" ? 1 : 2, size]]));
  const tensor = encodeMessage([
    [1, elementTypes[type]],
    [2, encodeMessage(repeated(1, dims))],
  ]);
  return encodeMessage([
    [1, name],
    [2, encodeMessage([[1, tensor]])],
  ]);
}
