# One test binary per folder. Every .cc below tests/ is built by the globs here; tests/layout_test.py
# fails if one is not.
find_package(GTest REQUIRED)
include(GoogleTest)
find_program(PYTHON NAMES python3 PATHS /usr/bin NO_DEFAULT_PATH REQUIRED)

file(GLOB support_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/support/*.cc)
add_library(holdfast_test_support STATIC ${support_sources})
target_link_libraries(holdfast_test_support PUBLIC holdfast_backup_agent GTest::gtest GTest::gmock)

function(holdfast_test name folder)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/${folder}/*.cc)
  add_executable(test_${name} ${sources})
  target_link_libraries(test_${name} PRIVATE holdfast_test_support GTest::gtest_main)
  gtest_discover_tests(test_${name} TEST_PREFIX "${name}." DISCOVERY_TIMEOUT 60
    PROPERTIES TIMEOUT 600)
endfunction()

holdfast_test(base base)
holdfast_test(vault vault)
holdfast_test(backup_agent backup-agent)

# The program as people run it: one test per file, each independent. They skip, with a reason, what
# the machine lacks (root, FUSE, loop devices, btrfs).
file(GLOB e2e_files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/e2e/*_test.py)
foreach(file ${e2e_files})
  get_filename_component(name ${file} NAME_WE)
  string(REGEX REPLACE "_test$" "" name ${name})
  add_test(NAME e2e.${name} COMMAND ${PYTHON} -B ${file})
  set_tests_properties(e2e.${name} PROPERTIES
    ENVIRONMENT HOLDFAST=$<TARGET_FILE:holdfast> TIMEOUT 600 LABELS e2e)
endforeach()

# The independent reader of tools/reader: against the vectors, the program's vaults and forged ones.
add_test(NAME reader COMMAND ${PYTHON} -B ${CMAKE_SOURCE_DIR}/tests/reader/reader_test.py)
set_tests_properties(reader PROPERTIES
  ENVIRONMENT HOLDFAST=$<TARGET_FILE:holdfast> TIMEOUT 600)

# The tree itself: include arrows, headers, names, formatting, links.
add_test(NAME layout COMMAND ${PYTHON} -B ${CMAKE_SOURCE_DIR}/tests/layout_test.py)
set_tests_properties(layout PROPERTIES ENVIRONMENT HOLDFAST_BUILD=${CMAKE_BINARY_DIR} TIMEOUT 300)

# What tools/test builds under a sanitizer.
add_custom_target(sanitized DEPENDS test_base test_vault test_backup_agent)
