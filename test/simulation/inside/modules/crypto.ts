const randomByte = (): number => Math.floor(Math.random() * 256);

export const randomBytes = (count: number): Buffer => Buffer.from(Array.from({ length: count }, randomByte));

export const randomUUID = (): string => {
  const hex = randomBytes(16).toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
};
