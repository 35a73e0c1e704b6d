"""The protobuf generator: what it refuses, what it names, and that its C passes the formatter and
the compiler's warnings."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PBGEN = os.path.join(ROOT, 'tools', 'pbgen.py')

SAMPLE = '''// About the file.
syntax = "proto3";
package a.b;

// A very long comment that says at length what this message is for, so long that it can only be
// written over several lines, with a */ inside that must not end it, and ends here.
message HTTPRequestV2 {
  enum Kind { UNKNOWN = 0; BIG_ONE = 7; MINUS = -3; }
  message Inner { int32 value = 1; }
  Kind kind = 1;
  Inner default = 2;
  repeated Inner a_field_with_a_very_long_name_so_that_the_declaration_must_be_broken_in_two_x = 3;
  map<string, string> labels = 4;
  map<uint32, Inner> inners = 5;
  oneof what { string text = 6; Inner inner = 7; }
  optional double maybe = 8;
  reserved 9;
  int64 far = 2000;
}
message Empty {}
service Echo {
  rpc Say(HTTPRequestV2) returns (Empty);
  rpc Chat(stream HTTPRequestV2) returns (stream Empty);
}
'''


class Generator(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def generate(self, proto, *options):
        with open(self.path('x.proto'), 'w', encoding='utf-8') as file:
            file.write(proto)
        subprocess.run(['protoc', '-I', self.folder, '--include_imports', '--include_source_info',
                        '--descriptor_set_out=' + self.path('x.ds'), 'x.proto'], check=True,
                       stderr=subprocess.DEVNULL)
        done = subprocess.run([sys.executable, PBGEN, '--set', self.path('x.ds'), '--prefix', 'x',
                               '--header', self.path('x.pb.h'), '--source', self.path('x.pb.c'),
                               '--include', 'x.pb.h', *options], capture_output=True, text=True,
                              check=False)
        return done

    def read(self, name):
        with open(self.path(name), encoding='utf-8') as file:
            return file.read()

    def test_names(self):
        self.assertEqual(0, self.generate(SAMPLE).returncode)
        header, source = self.read('x.pb.h'), self.read('x.pb.c')
        for wanted in ['struct tn_x_http_request_v2 {', 'struct tn_x_http_request_v2_inner {',
                       'TN_X_HTTP_REQUEST_V2_BIG_ONE = 7,', 'TN_X_HTTP_REQUEST_V2_MINUS = -3,',
                       '    struct tn_x_http_request_v2_inner *default_;',
                       '    struct tn_x_string_entry *labels;',
                       '    struct tn_x_uint32_http_request_v2_inner_entry *inners;',
                       '    uint32_t what;', 'TN_X_HTTP_REQUEST_V2_INNER = 7,',
                       '    bool has_maybe;', '    TN_X_ECHO_CHAT,', '* / inside',
                       'extern const struct tn_pb_service tn_x_echo_service;']:
            self.assertIn(wanted, header)
        self.assertIn('"/a.b.Echo/Chat"', source)
        self.assertIn('.dense_count = 8,', source)

    def test_rename(self):
        self.generate(SAMPLE, '--rename', 'a.b.HTTPRequestV2.Inner=inner')
        self.assertIn('struct tn_x_inner {', self.read('x.pb.h'))

    def test_descriptor_has_no_source_information(self):
        self.generate(SAMPLE)
        self.assertNotIn('0x41, 0x62, 0x6f, 0x75, 0x74', self.read('x.pb.c'))  # "About"

    def test_output_compiles_without_warnings(self):
        self.generate(SAMPLE)
        subprocess.run(['cc', '-std=c17', '-Wall', '-Wextra', '-Wshadow', '-Werror',
                        '-I' + os.path.join(ROOT, 'src'), '-I' + self.folder, '-fsyntax-only',
                        self.path('x.pb.c')], check=True)

    def test_output_is_formatted(self):
        formatter = shutil.which('clang-format')
        if formatter is None:
            self.skipTest('no clang-format here')
        self.generate(SAMPLE)
        for name in ['x.pb.h', 'x.pb.c']:
            done = subprocess.run([formatter, '--dry-run', '-Werror', '--style=file:'
                                   + os.path.join(ROOT, '.clang-format'), self.path(name)],
                                  capture_output=True, text=True, check=False)
            self.assertEqual('', done.stderr)

    def refused(self, proto, reason, *options):
        done = self.generate(proto, *options)
        self.assertNotEqual(0, done.returncode)
        self.assertIn(reason, done.stderr)

    def test_what_is_refused(self):
        self.refused('syntax = "proto2"; message A { optional int32 a = 1; }', 'not proto3')
        self.refused('syntax = "proto3"; message A { message B {} } message A_B {}',
                     'get the same C name')


if __name__ == '__main__':
    unittest.main()
