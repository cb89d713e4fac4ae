/**
 * `Tensor`: a shape and device-owned float32 storage, row-major, immutable to its readers; `PackedMatrix`: a frozen
 * weight in its device's layout. Reading back is asynchronous. `scope` releases the tensors made inside it at its end,
 * except those in its result. A scope is synchronous, so it cannot interleave with another; read values after it.
 * `scopeInParts` is left and entered again between the parts of its work.
 */
import type { CancelSignal } from "../cancel-signal.js";
import { DeviceError, ShapeError } from "../errors.js";
import { giveTurn, type InParts } from "../turns.js";
import type { Device, PackedStorage, Storage, WeightDtype } from "./device.js";
import { formatShape, type Shape, sizeOf } from "./shape.js";

/** The inputs of a computation, and the gradients that flow back to them (undefined: it needs none). */
interface GradientNode {
  readonly inputs: readonly Tensor[];
  backward(gradient: Tensor): readonly (Tensor | undefined)[];
}

const SCOPE = Symbol("scope");
const openScopes: Tensor[][] = [];

export class Tensor {
  /** Filled by `backward`, for leaves that require a gradient; cleared by the optimizer. */
  grad: Tensor | undefined;
  #storage: Storage | undefined;
  /** All tensors of its scope; undefined outside scopes, or once kept. */
  [SCOPE]: Tensor[] | undefined;

  constructor(
    readonly device: Device,
    storage: Storage,
    readonly shape: Shape,
    readonly requiresGrad = false,
    readonly node?: GradientNode,
  ) {
    if (storage.length !== sizeOf(shape)) {
      throw new ShapeError(
        "shape-size",
        `tensor: shape ${formatShape(shape)} has ${sizeOf(shape)} elements, the data ${storage.length}`,
        { shape, length: storage.length },
      );
    }
    this.#storage = storage;
    this[SCOPE] = openScopes.at(-1);
    this[SCOPE]?.push(this);
  }

  static from(
    device: Device,
    data: ArrayLike<number>,
    shape: Shape = [data.length],
    { requiresGrad = false } = {},
  ): Tensor {
    if (data.length !== sizeOf(shape)) {
      throw new ShapeError(
        "shape-size",
        `Tensor.from: shape ${formatShape(shape)} has ${sizeOf(shape)} elements, the data ${data.length}`,
        { shape, length: data.length },
      );
    }
    return new Tensor(device, device.upload(data), shape, requiresGrad);
  }

  get storage(): Storage {
    if (this.#storage === undefined) {
      throw new DeviceError(
        "tensor-disposed",
        `tensor ${formatShape(this.shape)} was used after it was freed; return it from the scope that made it, ` +
          "or keep() it",
      );
    }
    return this.#storage;
  }

  get size(): number {
    return sizeOf(this.shape);
  }

  /** Row-major. */
  read(): Promise<Float32Array> {
    return this.device.read(this.storage);
  }

  /** Frees the storage before the end of the scope. Freeing twice is harmless. */
  dispose(): void {
    if (this.#storage !== undefined) this.device.free(this.#storage);
    this.#storage = undefined;
  }
}

/** Packed once for many products x·Wᵀ (see `linear`). */
export class PackedMatrix {
  readonly shape: Shape;

  constructor(
    readonly device: Device,
    readonly storage: PackedStorage,
  ) {
    this.shape = [storage.rows, storage.columns];
  }

  /** Takes row-major data; fill larger matrices in chunks with `device.packRows`. */
  static from(device: Device, data: Float32Array, shape: Shape, dtype: WeightDtype = "float32"): PackedMatrix {
    const [rows, columns] = shape;
    if (shape.length !== 2 || rows === undefined || columns === undefined || data.length !== rows * columns) {
      throw new ShapeError(
        "shape-rank",
        `PackedMatrix.from: expected two axes and as many values, found ${formatShape(shape)} ` +
          `and ${data.length} values`,
        { shape },
      );
    }
    const storage = device.createPacked(rows, columns, dtype);
    device.packRows(storage, 0, data);
    return new PackedMatrix(device, storage);
  }

  read(): Promise<Float32Array> {
    return this.device.readPacked(this.storage);
  }

  dispose(): void {
    this.device.freePacked(this.storage);
  }
}

/**
 * Runs `body`, then frees every tensor that it made except those in its result (a tensor, or arrays and plain objects
 * of tensors).
 */
export function scope<T>(body: () => T): T {
  const made: Tensor[] = [];
  try {
    const result = within(made, body);
    if (result instanceof Promise) {
      throw new DeviceError(
        "scope-async",
        "scope: its body returned a promise; a scope is synchronous: read values after it, from the tensors it " +
          "returned",
      );
    }
    return handOut(made, result);
  } finally {
    freeMade(made);
  }
}

/** As `scope`, for work that gives the event loop its turns; the scope is left meanwhile. */
export async function scopeInParts<T>(body: () => InParts<T>, signal?: CancelSignal): Promise<T> {
  const made: Tensor[] = [];
  try {
    const work = body();
    let part = within(made, () => work.next());
    while (part.done !== true) {
      await giveTurn(signal);
      part = within(made, () => work.next());
    }
    return handOut(made, part.value);
  } finally {
    freeMade(made);
  }
}

/** Tensors made by `body` belong to the scope of `made`. */
function within<T>(made: Tensor[], body: () => T): T {
  openScopes.push(made);
  try {
    return body();
  } finally {
    openScopes.pop();
  }
}

/** Gives the result's tensors to the scope around, if any. */
function handOut<T>(made: Tensor[], result: T): T {
  const outer = openScopes.at(-1);
  visitTensors(result, (tensor) => {
    if (tensor[SCOPE] !== made) return;
    tensor[SCOPE] = outer;
    outer?.push(tensor);
  });
  return result;
}

function freeMade(made: readonly Tensor[]): void {
  for (const tensor of made) {
    if (tensor[SCOPE] === made) tensor.dispose();
  }
}

/** Takes a tensor out of every scope: it lives until disposed. */
export function keep(tensor: Tensor): Tensor {
  tensor[SCOPE] = undefined;
  return tensor;
}

function visitTensors(value: unknown, visit: (tensor: Tensor) => void): void {
  if (value instanceof Tensor) visit(value);
  else if (Array.isArray(value)) {
    for (const item of value) visitTensors(item, visit);
  } else if (typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype) {
    for (const item of Object.values(value)) visitTensors(item, visit);
  }
}
