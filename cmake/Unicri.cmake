# How unicri's targets are made: warnings, hardening and sanitizers live in one INTERFACE target, and a
# folder's CMakeLists.txt uses only the functions below. The link edges given to unicri_library() are the
# include graph; the test `include-graph` holds both to HACKING.md.

include_guard()
include(CheckCCompilerFlag)

set(UNICRI_SANITIZE "" CACHE STRING "comma separated sanitizers for the daemon, the libraries and the tests")
option(UNICRI_FUZZ "build the libFuzzer targets with -fsanitize=fuzzer (clang only)" OFF)
option(UNICRI_COVERAGE "build with coverage counters" OFF)
option(UNICRI_TSA "check lock and thread annotations (clang only)" OFF)
option(UNICRI_FAULTS "compile the fault points in (tests; never in a release)" ON)

add_library(unicri_flags INTERFACE)
target_compile_options(unicri_flags INTERFACE
  -Wall -Wextra -Wshadow -Wvla -Wformat=2 -Wundef -Werror -fno-common -fno-strict-aliasing
  $<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes -Wstrict-prototypes -Wold-style-definition>
  "$<$<COMPILE_LANGUAGE:C>:SHELL:-include ${PROJECT_SOURCE_DIR}/base/banned.h>"
  # A message that is cut at its bound is what the bound is for; where a cut is an error, the length is checked.
  $<$<COMPILE_LANG_AND_ID:C,GNU>:-Wno-format-truncation>
  -fstack-protector-strong)
target_compile_definitions(unicri_flags INTERFACE _GNU_SOURCE
  $<$<BOOL:${UNICRI_FAULTS}>:UNICRI_FAULTS>
  $<$<NOT:$<CONFIG:Debug>>:_FORTIFY_SOURCE=2>)
target_include_directories(unicri_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_link_options(unicri_flags INTERFACE -Wl,-z,relro,-z,now)
if(UNICRI_TSA)
  target_compile_options(unicri_flags INTERFACE -Wthread-safety)
endif()

add_library(unicri_sanitize INTERFACE)
if(UNICRI_SANITIZE)
  target_compile_options(unicri_sanitize INTERFACE -fsanitize=${UNICRI_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(unicri_sanitize INTERFACE -fsanitize=${UNICRI_SANITIZE})
  if(UNICRI_SANITIZE MATCHES "undefined")
    target_compile_options(unicri_sanitize INTERFACE -fno-sanitize-recover=undefined)
  endif()
endif()
if(UNICRI_FUZZ)
  target_compile_options(unicri_sanitize INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(UNICRI_COVERAGE)
  target_compile_options(unicri_sanitize INTERFACE --coverage)
  target_link_options(unicri_sanitize INTERFACE --coverage)
endif()

# unicri_library(NAME SOURCES ... [LINKS ...] [PRIVATE_LINKS ...]): one folder's library. LINKS name the
# folders it may include; PRIVATE_LINKS the external libraries that nobody else may see.
function(unicri_library name)
  cmake_parse_arguments(A "" "" "SOURCES;LINKS;PRIVATE_LINKS" ${ARGN})
  add_library(${name} STATIC ${A_SOURCES})
  target_link_libraries(${name} PUBLIC ${A_LINKS} PRIVATE unicri_flags unicri_sanitize ${A_PRIVATE_LINKS})
endfunction()

# unicri_executable(NAME SOURCES ... [LINKS ...] [STATIC]): a program in build/<preset>/bin. A STATIC
# program runs in an empty root, so it is linked statically and never sanitized.
function(unicri_executable name)
  cmake_parse_arguments(A "STATIC" "" "SOURCES;LINKS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE unicri_flags ${A_LINKS})
  if(A_STATIC)
    target_link_options(${name} PRIVATE -static -no-pie)
  else()
    target_link_libraries(${name} PRIVATE unicri_sanitize)
  endif()
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
endfunction()

# unicri_test(NAME [SOURCES ...] [LINKS ...] [TIMEOUT SECONDS]): a cmocka test, built from test_NAME.c
# beside the caller's CMakeLists.txt (in tests/) unless SOURCES say otherwise.
function(unicri_test name)
  cmake_parse_arguments(A "" "TIMEOUT" "SOURCES;LINKS" ${ARGN})
  if(NOT A_SOURCES)
    set(A_SOURCES tests/test_${name}.c)
  endif()
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 180)
  endif()
  get_filename_component(folder ${CMAKE_CURRENT_SOURCE_DIR} NAME)
  set(target test-${folder}-${name})
  add_executable(${target} ${A_SOURCES})
  target_link_libraries(${target} PRIVATE ${A_LINKS} unicri_flags unicri_sanitize cmocka)
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  add_test(NAME ${folder}-${name} COMMAND ${target})
  set_tests_properties(${folder}-${name} PROPERTIES TIMEOUT ${A_TIMEOUT}
    ENVIRONMENT "UNICRI_BIN=${PROJECT_BINARY_DIR}/bin;UNICRI_UNIKERNELS=${PROJECT_BINARY_DIR}/unikernels")
endfunction()

# unicri_fuzz(NAME [LINKS ...]): fuzz/fuzz_NAME.c. With UNICRI_FUZZ a libFuzzer program; always a
# replayer of fuzz/corpus/NAME that ctest runs.
function(unicri_fuzz name)
  cmake_parse_arguments(A "" "" "LINKS" ${ARGN})
  get_filename_component(folder ${CMAKE_CURRENT_SOURCE_DIR} NAME)
  set(target fuzz-${folder}-${name})
  if(UNICRI_FUZZ)
    add_executable(${target} fuzz/fuzz_${name}.c)
    target_link_options(${target} PRIVATE -fsanitize=fuzzer)
  else()
    add_executable(${target} fuzz/fuzz_${name}.c ${PROJECT_SOURCE_DIR}/base/fuzz/replay.c)
  endif()
  target_link_libraries(${target} PRIVATE ${A_LINKS} unicri_flags unicri_sanitize)
  target_compile_options(${target} PRIVATE -UNDEBUG) # what they assert is what they are for
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/fuzz)
  set(args ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus/${name})
  if(UNICRI_FUZZ)
    list(APPEND args -runs=0)
  endif()
  add_test(NAME ${folder}-corpus-${name} COMMAND ${target} ${args})
  set_tests_properties(${folder}-corpus-${name} PROPERTIES TIMEOUT 60)
endfunction()
