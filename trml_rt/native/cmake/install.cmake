# What `cmake --install` puts where: library, headers, CMake package, pkg-config file.
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/trml_rt)
install(TARGETS trml_rt EXPORT trml_rt_targets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS trml-rt-probe RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY include/trml_rt DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT trml_rt_targets NAMESPACE trml_rt:: DESTINATION ${package_dir})

configure_package_config_file(cmake/trml_rtConfig.cmake.in
  ${CMAKE_CURRENT_BINARY_DIR}/trml_rtConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/trml_rtConfigVersion.cmake
  COMPATIBILITY SameMajorVersion)
install(FILES
  ${CMAKE_CURRENT_BINARY_DIR}/trml_rtConfig.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/trml_rtConfigVersion.cmake
  DESTINATION ${package_dir})

# From where the file lies, so that an installed folder may be moved.
file(RELATIVE_PATH to_prefix /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
string(REGEX REPLACE "/$" "" to_prefix "${to_prefix}")
configure_file(cmake/trml_rt.pc.in ${CMAKE_CURRENT_BINARY_DIR}/trml_rt.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/trml_rt.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
