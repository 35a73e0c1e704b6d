"""tools/summary counts cases, and nothing that failed can look like a pass."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

CMOCKA_PASS = '[==========] Running 2 test(s).\n[ RUN      ] a\n[       OK ] a\n[ RUN      ] b\n' \
    '[       OK ] b\n[==========] 2 test(s) run.\n[  PASSED  ] 2 test(s).\n'
CMOCKA_MIXED = '[ RUN      ] a\n[       OK ] a\n[ RUN      ] b\n[  FAILED  ] b\n[ RUN      ] c\n' \
    '[  SKIPPED ] c\n[  PASSED  ] 1 test(s).\n[  SKIPPED ] 1 test(s), listed below:\n' \
    '[  SKIPPED ] c\n[  FAILED  ] 1 test(s), listed below:\n[  FAILED  ] b\n'
UNITTEST = '....\n-----\nRan 4 tests in 0.1s\n\nOK (skipped=1)\n'
UNITTEST_FAIL = 'F...\n-----\nRan 4 tests in 0.1s\n\nFAILED (failures=1, errors=1)\n'
JUNIT = '<testsuites><testsuite><testcase classname="m" name="a"/>' \
    '<testcase classname="m" name="b"><failure message="no"/></testcase>' \
    '<testcase classname="m" name="c"><skipped message="why"/></testcase></testsuite></testsuites>'


def entry(result, stdout='', stderr=''):
    return json.dumps({'name': 't', 'result': result, 'stdout': stdout, 'stderr': stderr}) + '\n'


class Summary(unittest.TestCase):
    def summary(self, text, stages_failed=0, ending='.json'):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'r' + ending)
            with open(path, 'w', encoding='utf-8') as file:
                file.write(text)
            done = subprocess.run([sys.executable, os.path.join(ROOT, 'tools/summary'),
                                   str(stages_failed), path, '/no/such.json'],
                                  capture_output=True, text=True, check=False)
        return done.stdout.strip().split('\n')[-1], done.returncode

    def test_cmocka(self):
        self.assertEqual(('2 passed, 0 failed, 0 skipped', 0),
                         self.summary(entry('OK', CMOCKA_PASS)))
        self.assertEqual(('1 passed, 1 failed, 1 skipped', 1),
                         self.summary(entry('FAIL', CMOCKA_MIXED)))
        self.assertEqual(('1 passed, 1 failed, 1 skipped', 1),
                         self.summary(entry('FAIL', '', CMOCKA_MIXED)))

    def test_unittest(self):
        self.assertEqual(('3 passed, 0 failed, 1 skipped', 0),
                         self.summary(entry('OK', '', UNITTEST)))
        self.assertEqual(('2 passed, 2 failed, 0 skipped', 1),
                         self.summary(entry('FAIL', '', UNITTEST_FAIL)))

    def test_a_program_without_cases_counts_as_one(self):
        self.assertEqual(('1 passed, 0 failed, 0 skipped', 0), self.summary(entry('OK')))
        self.assertEqual('1 failed', self.summary(entry('OK') + entry('TIMEOUT'))[0].split(', ')[1])

    def test_a_crash_after_passes_is_a_failure(self):
        self.assertEqual(('2 passed, 1 failed, 0 skipped', 1),
                         self.summary(entry('FAIL', CMOCKA_PASS)))

    def test_pytest(self):
        self.assertEqual(('1 passed, 1 failed, 1 skipped', 1), self.summary(JUNIT, ending='.xml'))

    def test_a_failed_stage_is_never_a_pass(self):
        self.assertEqual(('2 passed, 1 failed, 0 skipped', 1),
                         self.summary(entry('OK', CMOCKA_PASS), stages_failed=1))

    def test_nothing_ran_is_no_success(self):
        self.assertEqual(('0 passed, 0 failed, 0 skipped', 1), self.summary(''))


if __name__ == '__main__':
    unittest.main()
