/** Models and devices of a command line. */
import { availableParallelism } from "node:os";
import { type Device, EarlyExitError, type Model } from "early-exits";
import { createDevice, type DeviceName, readModel, type ResolvedModel, resolveModel } from "early-exits/node";
import type { CreateDeviceOptions } from "early-exits/tensor";
import { given, type SettingsOf } from "./command.js";
import { InterruptedError, type Io, note } from "./io.js";
import type { modelOptions } from "./options.js";
import { type ProgressEvent, withProgress } from "./progress.js";
import { modelPath } from "./shipped.js";

export type ModelSettings = SettingsOf<typeof modelOptions>;

export const modelDefaults = {
  device: "auto",
  kvCache: "float32",
  unembedding: "auto",
  threads: 1,
} as const satisfies ModelSettings;

/** Training's products are long, but threads share one memory. */
const MOST_THREADS = 8;

export function trainingThreads(): number {
  return Math.min(MOST_THREADS, availableParallelism());
}

/** Says on stderr which device it is. */
export async function openDevice(
  io: Io,
  name: string = modelDefaults.device,
  options: Pick<CreateDeviceOptions, "threads"> = {},
): Promise<Device> {
  const device = await createDevice(name as DeviceName, options);
  note(io, `device: ${device.backend}${name === "auto" ? " (chosen by auto)" : ""}`);
  return device;
}

/** Opens a model on a new device, or on one that is there. */
export async function openModel(
  io: Io,
  name: string,
  {
    device,
    threads = modelDefaults.threads,
    dtype,
    kvCache = modelDefaults.kvCache,
    unembedding = modelDefaults.unembedding,
    budgets,
  }: ModelSettings,
  there?: Device,
): Promise<Model> {
  const found = await modelPath(name);
  const opened = there ?? (await openDevice(io, device, { threads }));
  const { path } = await download(io, found, { device: opened, ...given({ dtype }), kvCache, budgets });
  return withProgress(
    io,
    "load",
    (report) =>
      readModel(path, {
        device: opened,
        ...given({ dtype }),
        kvCache,
        unembedding,
        budgets,
        onProgress: ({ done, total }) =>
          void report({ done: millions(done), total: millions(total), text: "M weights" }),
      }),
    { patience: LOADING_PATIENCE },
  );
}

/** Milliseconds; models that load faster need no bar. */
const LOADING_PATIENCE = 1000;

const millions = (weights: number) => Math.round(weights / 1e5) / 10;
/**
 * Reads the model that policies are compared with, the checkpoint as float32; undefined if that is the model itself.
 */
export async function openReference(
  io: Io,
  name: string,
  { device, dtype }: Model,
  { against = "same", budgets }: { readonly against?: "same" | "float32" | undefined } & ModelSettings,
): Promise<Model | undefined> {
  if (against === "same" || dtype === "float32") return undefined;
  const { path } = await findModel(io, name);
  return readModel(path, { device, dtype: "float32", budgets });
}

/** Shows progress if something has to be downloaded. */
export async function findModel(io: Io, name: string): Promise<ResolvedModel> {
  return download(io, await modelPath(name));
}

type ResolveOptions = NonNullable<Parameters<typeof resolveModel>[1]>;

/** With `load`, refuses what exceeds the device before it is downloaded. */
async function download(io: Io, name: string, load?: ResolveOptions["load"]): Promise<ResolvedModel> {
  try {
    return await withProgress(io, "download", (report) => {
      const eventOf = downloadEvents(io);
      return resolveModel(name, {
        ...(load && { load }),
        signal: io.signal,
        onProgress: ({ file, received, total }) => {
          const event = eventOf(file, received, total);
          if (event !== undefined) void report(event);
        },
      });
    });
  } catch (error) {
    if (!io.signal.aborted) throw unreachable(error, name);
    throw new InterruptedError(`interrupted; early-exits get ${name} goes on with the files that are missing`);
  }
}

/** Adds what a name like a path may have meant. */
function unreachable(error: unknown, name: string): unknown {
  const unreached =
    error instanceof EarlyExitError && ["hub-offline", "hub-network", "hub-timeout"].includes(error.code);
  if (!unreached || name.startsWith("hub:")) return error;
  return new EarlyExitError(
    error.code,
    `${error.message}. There is no file or folder ${name} here either`,
    error.details,
  );
}

/** A file's first report only starts its clock. */
function downloadEvents(io: Io): (file: string, received: number, total: number) => ProgressEvent | undefined {
  let current: { readonly file: string; readonly from: number; readonly started: number } | undefined;
  return (file, received, total) => {
    if (current?.file !== file || received <= current.from) {
      current = { file, from: received, started: io.now() };
      return undefined;
    }
    const [size, unit] = total < 1e6 ? ([1e3, "kB"] as const) : ([1e6, "MB"] as const);
    const rounded = (count: number) => Math.round((10 * count) / size) / 10;
    const seconds = (io.now() - current.started) / 1000;
    return {
      done: rounded(received),
      total: rounded(total),
      text: `${unit} of ${file}`,
      timeLeft: (seconds / (received - current.from)) * (total - received),
    };
  };
}
