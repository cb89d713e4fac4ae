/** Models with the package's exits, in the dtype of their certificates. */
import { type Certificate, type ExitHeads, measureUnitTimes, type Model } from "early-exits";
import { fastestCertificate } from "early-exits/calibrate";
import { storageOf } from "early-exits/model";
import { readHeads } from "early-exits/node";
import { type Io, UsageError } from "../io.js";
import { type ModelSettings, openModel } from "../open-model.js";
import { withProgress } from "../progress.js";
import { certificatesFor, findShippedExits, type ShippedExits } from "../shipped/shipped-exits.js";

export interface OpenShipped {
  readonly model: Model;
  readonly exits: ShippedExits;
  readonly heads: ExitHeads;
  readonly certificate: Certificate;
}

/** Dtype unless the user asks for another. */
const USUAL_DTYPE = "int8";

/** Milliseconds for measuring unit times, if there are policies with several fills. */
const PRICING_TIME = 300;

/**
 * Of several certificates at a level, takes the one whose policy is the fastest on this machine. Throws a UsageError
 * that begins with the command's name if the package has no exits for the model, or none certified at this level.
 */
export async function openShipped(
  io: Io,
  command: string,
  name: string,
  agreement: number,
  settings: ModelSettings = {},
): Promise<OpenShipped> {
  const first = await openModel(io, name, { dtype: USUAL_DTYPE, ...settings });
  const exits = await withProgress(io, "hash", () => findShippedExits(first));
  const certificates = exits === undefined ? [] : certificatesFor(exits, first.storedAs);
  const [certified, ...others] = certificates.filter((one) => one.agreement === agreement);
  if (exits === undefined || certified === undefined) {
    first.dispose();
    throw new UsageError(
      exits === undefined
        ? `${command}: no exits come with the package for ${name}; train and calibrate your own: ` +
            `early-exits train ${name} --self --out heads`
        : `${command}: ${exits.name} is not certified at ${agreement}; choose one of ` +
            [...new Set(certificates.map((one) => one.agreement))].join(", "),
    );
  }
  const model = await inItsStorage(first, certified, name, settings, io);
  const heads = await readHeads(exits.heads, model);
  const certificate = await fastestCertificate([certified, ...others], (fill) =>
    measureUnitTimes(heads, { fill, rows: [1, 4], time: PRICING_TIME }),
  );
  return { model, exits, heads, certificate };
}

/** The model if it is stored as the certificate says, else another in its place. */
async function inItsStorage(
  model: Model,
  { policy: { certified } }: Certificate,
  name: string,
  settings: ModelSettings,
  io: Io,
): Promise<Model> {
  const asked = settings.dtype !== undefined; // the user decides; a policy for another dtype is refused later
  if (asked || certified === undefined) return model;
  const storage = storageOf(certified.dtype);
  if (storage.dtype === model.dtype) return model;
  model.dispose();
  return openModel(io, name, { ...settings, ...storage });
}
