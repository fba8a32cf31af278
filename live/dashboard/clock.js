/** The service's clock, which runs fast on a simulated market, told from what it says. Pure. */

/**
 * An estimate from the samples before and a new one: at `local` ms of this machine's steady clock
 * the service said `service` ms. The speed comes from samples at least a second apart.
 */
export function observed(estimate, local, service) {
  if (!estimate) return { local, service, speed: 1 };
  const passed = local - estimate.local;
  if (passed < 1000) return estimate;
  const speed = (service - estimate.service) / passed;
  return { local, service, speed: speed >= 0 ? rounded(speed) : 1 };
}

/** Near real time the network's jitter is no speed. */
function rounded(speed) {
  return Math.abs(speed - 1) < 0.2 ? 1 : speed;
}

/** The service's time as a Date at `local`, or null before the first sample. */
export function serviceTime(estimate, local) {
  return estimate && new Date(estimate.service + (local - estimate.local) * estimate.speed);
}
