import { connect } from 'node:net'

/** Bytes that a Redis uses now, and at most so far. */
export async function redisMemory(url: string): Promise<{ used: number; peak: number }> {
  const { hostname, port } = new URL(url)
  const text = await new Promise<string>((resolve, reject) => {
    let answer = ''
    const socket = connect(Number(port), hostname, () => socket.write('INFO memory\r\n'))
    socket.on('data', data => {
      answer += data
      if (/used_memory_peak:\d+\r\n/.test(answer)) {
        resolve(answer)
        socket.destroy()
      }
    })
    socket.on('error', reject)
  })
  const of = (name: string): number => Number(new RegExp(`${name}:(\\d+)`).exec(text)?.[1] ?? 0)
  return { used: of('used_memory'), peak: of('used_memory_peak') }
}
