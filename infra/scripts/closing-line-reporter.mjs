/**
 * Vitest reporter: ends each run with one plain line, `N passed, N failed`, and in CI turns a skipped test into a
 * failure, because a skip there means that a tool which .ci/run promises to install is missing.
 */
export default class ClosingLineReporter {
  onTestRunEnd(testModules, unhandledErrors) {
    let passed = 0
    let failed = unhandledErrors.length
    const skipped = []
    for (const module of testModules) {
      if (module.errors().length > 0) failed += 1
      for (const test of module.children.allTests()) {
        const { state, note } = test.result()
        if (state === 'passed') passed += 1
        else if (state === 'failed') failed += 1
        else skipped.push(`${module.relativeModuleId} > ${test.fullName}${note ? `: ${note}` : ''}`)
      }
    }
    for (const name of skipped) console.log(`skipped: ${name}`)
    if (process.env.CI && skipped.length > 0) {
      console.log('in CI a skipped test is a failure: install what it needs in .ci/run')
      failed += skipped.length
      process.exitCode = 1
    }
    const tail = skipped.length > 0 && !process.env.CI ? `, ${skipped.length} skipped` : ''
    console.log(`\n${passed} passed, ${failed} failed${tail}`)
  }
}
