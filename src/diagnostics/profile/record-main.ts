import { connectInspector } from './inspector.ts';
import { type RecordOptions, type Recording, recordProfile } from './record-profile.ts';
import { inSource } from './source-maps.ts';

export interface MainAccess {
  /** See `RecordOptions.deoptimise`. */
  readonly deoptimise: boolean;
  /** Why no CPU profile can be taken. undefined if one can be taken. */
  readonly whyNoProfile: string | undefined;
}

/** Records the main thread from a worker. The profile names places in the original source. */
export async function recordMain(
  { deoptimise, whyNoProfile }: MainAccess,
  options: Omit<RecordOptions, 'deoptimise'>,
): Promise<Recording> {
  const session = connectInspector('main', whyNoProfile);
  try {
    const { profile, takenAt } = await recordProfile(session, { ...options, deoptimise });
    return { profile: inSource(profile), takenAt };
  } finally {
    session.disconnect();
  }
}
