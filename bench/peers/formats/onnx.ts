/**
 * ONNX models in TypeScript: `GraphBuilder` collects nodes and weights and serializes a ModelProto (onnx.proto).
 * Weights are stored inline, which is legal below 2 GiB.
 */
import { fileURLToPath } from "node:url";
import protobuf from "protobufjs";

const root = protobuf.loadSync(fileURLToPath(new URL("onnx.proto", import.meta.url)));
const ModelProto = root.lookupType("onnx.ModelProto");

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
  /** A GraphProto. */
  readonly #graph = {
    name: "gpt2",
    node: [] as object[],
    initializer: [] as object[],
    input: [] as object[],
    output: [] as object[],
  };
  #names = 0;

  /** Adds a node and returns the name of its first result. An empty input name means "absent". */
  node(
    type: string,
    inputs: readonly string[],
    { outputs = [`${type}_${this.#names++}`], attributes = {}, domain = "" }: NodeOptions = {},
  ): string {
    this.#graph.node.push({
      input: inputs,
      output: outputs,
      name: outputs[0],
      opType: type,
      attribute: Object.entries(attributes).map(([name, value]) => ({ name, ...attributeValue(value) })),
      ...(domain !== "" && { domain }),
    });
    return outputs[0]!;
  }

  /** Adds a weight and returns its name. */
  weight(name: string, shape: readonly number[], data: Float32Array | Int32Array | BigInt64Array): string {
    const type: ElementType = data instanceof Float32Array ? "float32" : data instanceof Int32Array ? "int32" : "int64";
    const rawData = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    this.#graph.initializer.push({ name, dims: shape, dataType: elementTypes[type], rawData });
    return name;
  }

  /** A constant vector of int64, the type that shapes and axes have in ONNX. */
  int64(...values: readonly number[]): string {
    return this.weight(`int64_${this.#names++}`, [values.length], BigInt64Array.from(values, BigInt));
  }

  scalar(value: number): string {
    return this.weight(`scalar_${this.#names++}`, [], Float32Array.of(value));
  }

  /** Adds an input; a size that varies is given as a name. */
  input(name: string, type: ElementType, shape: readonly (number | string)[]): string {
    this.#graph.input.push(valueInfo(name, type, shape));
    return name;
  }

  output(name: string, type: ElementType, shape: readonly (number | string)[]): void {
    this.#graph.output.push(valueInfo(name, type, shape));
  }

  serialize(opset: number): Uint8Array {
    const opsetImport = [
      { domain: "", version: opset },
      { domain: "com.microsoft", version: 1 },
    ];
    const model = { irVersion: 9, producerName: "early-exits", graph: this.#graph, opsetImport };
    return ModelProto.encode(ModelProto.fromObject(model)).finish();
  }
}

/** The value of an AttributeProto and its type, which says which field holds it. */
function attributeValue(value: Attribute): object {
  if (typeof value === "string") return { s: Buffer.from(value), type: "STRING" };
  if (typeof value === "number") return { i: value, type: "INT" };
  return "float" in value ? { f: value.float, type: "FLOAT" } : { ints: value, type: "INTS" };
}

/** ValueInfoProto with a TypeProto.Tensor. */
function valueInfo(name: string, elementType: ElementType, shape: readonly (number | string)[]): object {
  const dim = shape.map((size) => (typeof size === "number" ? { dimValue: size } : { dimParam: size }));
  return { name, type: { tensorType: { elemType: elementTypes[elementType], shape: { dim } } } };
}
