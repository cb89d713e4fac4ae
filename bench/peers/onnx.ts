/**
 * ONNX models in TypeScript: `GraphBuilder` collects nodes and weights and serializes a ModelProto (onnx/onnx.proto3;
 * field numbers beside each line). Weights are stored inline, which is legal below 2 GiB.
 */
import { bytes, type Bytes, float, integer, message } from "./protobuf.js";

const elementTypes = { float32: 1, int32: 6, int64: 7 } as const; // TensorProto.DataType
export type ElementType = keyof typeof elementTypes;
export type Attribute = number | readonly number[] | string | { readonly float: number };

export interface NodeOptions {
  /** Names of the results. @default one new name */
  readonly outputs?: readonly string[];
  readonly attributes?: Readonly<Record<string, Attribute>>;
  /** @default "" (the ONNX standard) */
  readonly domain?: string;
}

export class GraphBuilder {
  readonly #nodes: Bytes[] = [];
  readonly #weights: Bytes[] = [];
  readonly #inputs: Bytes[] = [];
  readonly #outputs: Bytes[] = [];
  #names = 0;

  /** Adds a node and returns the name of its first result. An empty input name means "absent". */
  node(
    type: string,
    inputs: readonly string[],
    { outputs = [`${type}_${this.#names++}`], attributes = {}, domain = "" }: NodeOptions = {},
  ): string {
    this.#nodes.push(
      message(
        ...inputs.map((name) => bytes(1, name)),
        ...outputs.map((name) => bytes(2, name)),
        bytes(3, outputs[0]!),
        bytes(4, type),
        ...Object.entries(attributes).map(([name, value]) => bytes(5, attribute(name, value))),
        domain === "" ? undefined : bytes(7, domain),
      ),
    );
    return outputs[0]!;
  }

  /** Adds a weight and returns its name. */
  weight(name: string, shape: readonly number[], data: Float32Array | Int32Array | BigInt64Array): string {
    const type: ElementType = data instanceof Float32Array ? "float32" : data instanceof Int32Array ? "int32" : "int64";
    const raw = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    this.#weights.push(
      message(...shape.map((size) => integer(1, size)), integer(2, elementTypes[type]), bytes(8, name), bytes(9, raw)),
    );
    return name;
  }

  /** A constant vector of int64, the type that shapes and axes have in ONNX. */
  int64(...values: readonly number[]): string {
    return this.weight(`int64_${this.#names++}`, [values.length], BigInt64Array.from(values, BigInt));
  }

  scalar(value: number): string {
    return this.weight(`scalar_${this.#names++}`, [], Float32Array.of(value));
  }

  /** Sizes are numbers or, where they vary, names. */
  input(name: string, type: ElementType, shape: readonly (number | string)[]): string {
    this.#inputs.push(valueInfo(name, type, shape));
    return name;
  }

  output(name: string, type: ElementType, shape: readonly (number | string)[]): void {
    this.#outputs.push(valueInfo(name, type, shape));
  }

  serialize(opset: number): Bytes {
    const graph = message(
      ...this.#nodes.map((node) => bytes(1, node)),
      bytes(2, "gpt2"),
      ...this.#weights.map((weight) => bytes(5, weight)),
      ...this.#inputs.map((input) => bytes(11, input)),
      ...this.#outputs.map((output) => bytes(12, output)),
    );
    const opsets = [message(bytes(1, ""), integer(2, opset)), message(bytes(1, "com.microsoft"), integer(2, 1))];
    return message(integer(1, 9), bytes(2, "early-exits"), bytes(7, graph), ...opsets.map((opset) => bytes(8, opset)));
  }
}

/** AttributeProto; field 20 says which of the value fields holds (1 float, 2 int, 3 string, 7 ints). */
function attribute(name: string, value: Attribute): Bytes {
  if (typeof value === "string") return message(bytes(1, name), bytes(4, value), integer(20, 3));
  if (typeof value === "number") return message(bytes(1, name), integer(3, value), integer(20, 2));
  if ("float" in value) return message(bytes(1, name), float(2, value.float), integer(20, 1));
  return message(bytes(1, name), ...value.map((item) => integer(8, item)), integer(20, 7));
}

/** ValueInfoProto with a TypeProto.Tensor. */
function valueInfo(name: string, type: ElementType, shape: readonly (number | string)[]): Bytes {
  const dims = shape.map((size) => bytes(1, typeof size === "number" ? integer(1, size) : bytes(2, size)));
  const tensor = message(integer(1, elementTypes[type]), bytes(2, message(...dims)));
  return message(bytes(1, name), bytes(2, bytes(1, tensor)));
}
