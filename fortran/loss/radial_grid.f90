!> Slopes of all radial functions of a pair as eight weights on a grid.
!>
!> A Chebyshev radial function is h_n(r) = T_n(x) f_c(r) with x = 2 r/R_c - 1 = cos θ.  Slopes of many orders at one
!> distance are few numbers in disguise, as in a non-uniform fast Fourier transform (Dutt, Rokhlin 1993): with
!> C_gn = cos(n θ_g)/s_n on an even grid of θ, about twice as dense as the highest order asks for,
!>
!>    h_n'(r) = Σ_g w_g(r) C_gn   for all n, with only the eight points g around θ,
!>
!> to 1e-6 of the largest slope of each order or better.  s_n is the transform of the Kaiser-Bessel window, for which
!> eight points suffice; the weights themselves are those of the least squares over all orders, each in its own
!> measure.  Sums over pairs are done on the grid, and once for each atom it is exchanged with the coefficients of
!> the orders.  C is even or odd about the middle of the grid for even and odd n, so half of it is kept.
module tf_radial_grid
   use tf_kinds, only : wp, i8, lanes, padded
   use tf_error, only : error_type, check_memory
   use tf_constants, only : pi
   use tf_dense, only : add_product, few_rows_product, tile_rows
   implicit none
   private
   public :: radial_grid_type, new_radial_grid, places_on_grid, fit_slopes, spread_on_grid, collect_from_grid
   public :: window, most_points, most_orders

   !> Points that a pair touches, so many that they fill vector registers
   integer, parameter :: window = lanes
   !> Orders that a grid can serve, and its points then
   integer, parameter :: most_orders = 60, most_points = ((2*most_orders + 10 + lanes - 1)/lanes)*lanes
   ! A fit needs more orders than points of the window
   integer, parameter :: fewest_orders = window + 4
   ! A column that keeps less of its length is a combination of those before
   real(wp), parameter :: dependent = 1.0e-11_wp

   type :: radial_grid_type
      !> Points, half of them, and orders 0 … n_orders - 1
      integer :: n_points = 0, n_half = 0, n_orders = 0
      !> (n_half, n_columns) C of the even and odd orders on the first half of the grid, zeros behind the last
      real(wp), allocatable :: even(:, :), odd(:, :)
      !> The transposed
      real(wp), allocatable :: even_rows(:, :), odd_rows(:, :)
      integer :: n_columns = 0
   end type radial_grid_type

contains

   !> Grid for so many orders; at most `most_orders`
   subroutine new_radial_grid(n_orders, grid, error)
      !> Radial functions that it serves
      integer, intent(in) :: n_orders
      type(radial_grid_type), intent(out) :: grid
      type(error_type), allocatable, intent(inout) :: error
      real(wp) :: scale(0:max(n_orders, fewest_orders) - 1)
      integer :: n, g, status

      if (n_orders == 0) return
      grid%n_orders = max(n_orders, fewest_orders)
      grid%n_points = padded(2*grid%n_orders + 10)
      grid%n_half = grid%n_points/2
      grid%n_columns = tile_rows*(((grid%n_orders + 1)/2 + tile_rows - 1)/tile_rows)
      allocate (grid%even(grid%n_half, grid%n_columns), grid%odd(grid%n_half, grid%n_columns), &
         grid%even_rows(grid%n_columns, grid%n_half), grid%odd_rows(grid%n_columns, grid%n_half), source=0.0_wp, stat=status)
      call check_memory(status, "the grid of radial functions", 32_i8*grid%n_half*grid%n_columns, error)
      if (allocated(error)) return
      scale = window_transform([(n, n=0, grid%n_orders - 1)], n_places(grid), grid%n_orders - 1)
      do n = 0, grid%n_orders - 1
         do g = 1, grid%n_half
            associate (c => cos(n*angle(grid, g))/scale(n))
            if (mod(n, 2) == 0) then
               grid%even(g, n/2 + 1) = c
            else
               grid%odd(g, n/2 + 1) = c
            end if
            end associate
         end do
      end do
      grid%even_rows = transpose(grid%even)
      grid%odd_rows = transpose(grid%odd)
   end subroutine new_radial_grid

   !> Intervals of the grid between θ = 0 and π; the window reaches beyond both
   pure integer function n_places(grid)
      type(radial_grid_type), intent(in) :: grid

      n_places = grid%n_points - window + 1
   end function n_places

   pure real(wp) function angle(grid, g)
      type(radial_grid_type), intent(in) :: grid
      !> Point of the grid
      integer, intent(in) :: g

      angle = (g - window/2)*pi/n_places(grid)
   end function angle

   !> Fourier transform of the Kaiser-Bessel window at order n, 1 at order 0; β as advised for this density of points
   elemental real(wp) function window_transform(n, n_places, n_last) result(s)
      integer, intent(in) :: n, n_places, n_last
      real(wp) :: beta, q

      beta = pi*window*(1.0_wp - (2*n_last + 1)/(4.0_wp*n_places))
      q = sqrt(max(beta**2 - (pi*window*n/(2.0_wp*n_places))**2, 1.0e-6_wp))
      ! By exp: a sinh over a loop becomes a function of glibc 2.35 and newer
      s = (exp(q) - exp(-q))/q*beta/(exp(beta) - exp(-beta))
   end function window_transform

   !> Points before the windows of n pairs
   pure subroutine places_on_grid(grid, n, r, r_cut, place)
      type(radial_grid_type), intent(in) :: grid
      integer, intent(in) :: n
      !> Distances and cutoff (Å)
      real(wp), intent(in) :: r(n), r_cut
      integer, intent(out) :: place(n)
      ! acos(x) = sqrt(1 - x) p(x) to 2e-8, Abramowitz and Stegun 4.4.46: so far beyond its ends a window is as good as within
      real(wp), parameter :: p(0:7) = [1.5707963050_wp, -0.2145988016_wp, 0.0889789874_wp, -0.0501743046_wp, &
         0.0308918810_wp, -0.0170881256_wp, 0.0066700901_wp, -0.0012624911_wp]
      real(wp) :: x, y, theta, per_angle
      integer :: k, last

      per_angle = n_places(grid)/pi
      last = n_places(grid) - 1
      !$omp simd private(x, y, theta)
      do k = 1, n
         x = max(-1.0_wp, min(1.0_wp, 2.0_wp*r(k)/r_cut - 1.0_wp))
         y = abs(x)
         theta = sqrt(1.0_wp - y)*(p(0) + y*(p(1) + y*(p(2) + y*(p(3) + y*(p(4) + y*(p(5) + y*(p(6) + y*p(7))))))))
         theta = merge(theta, pi - theta, x >= 0.0_wp)
         place(k) = max(0, min(int(theta*per_angle), last))
      end do
   end subroutine places_on_grid

   !> For each place, the matrix that turns the slopes of all orders into the weights of its window
   subroutine fit_slopes(grid, fit, error)
      type(radial_grid_type), intent(in) :: grid
      !> (window, n_orders, places), places from 0
      real(wp), allocatable, intent(out) :: fit(:, :, :)
      type(error_type), allocatable, intent(inout) :: error
      real(wp) :: q(grid%n_orders, window), r(window, window), part, length
      integer :: place, g, l, m, n, turn, status

      allocate (fit(window, grid%n_orders, 0:n_places(grid) - 1), stat=status)
      call check_memory(status, "the fits of slopes", 8_i8*window*grid%n_orders*n_places(grid), error)
      if (allocated(error)) return
      do place = 0, n_places(grid) - 1
         do l = 1, window
            do n = 0, grid%n_orders - 1
               g = min(place + l, grid%n_points + 1 - (place + l))
               part = merge(grid%even(g, n/2 + 1), grid%odd(g, n/2 + 1), mod(n, 2) == 0)
               if (mod(n, 2) == 1 .and. g /= place + l) part = -part
               q(n + 1, l) = part/measure(n)
            end do
         end do
         ! Gram-Schmidt, twice for the sake of its orthogonality.  At the ends of the grid points stand for one another
         r = 0.0_wp
         do l = 1, window
            length = norm2(q(:, l))
            do turn = 1, 2
               do m = 1, l - 1
                  part = dot_product(q(:, m), q(:, l))
                  r(m, l) = r(m, l) + part
                  q(:, l) = q(:, l) - part*q(:, m)
               end do
            end do
            r(l, l) = norm2(q(:, l))
            if (r(l, l) > dependent*length) then
               q(:, l) = q(:, l)/r(l, l)
            else
               r(l, l) = 1.0_wp
               q(:, l) = 0.0_wp
            end if
         end do
         do l = window, 1, -1
            fit(l, :, place) = (q(:, l) - matmul(r(l, l + 1:), fit(l + 1:, :, place)))/r(l, l)
         end do
         do n = 0, grid%n_orders - 1
            fit(:, n + 1, place) = fit(:, n + 1, place)/measure(n)
         end do
      end do
   end subroutine fit_slopes

   !> What an error of the slope of order n is measured in: slopes, and what networks make of them, grow with the order
   elemental real(wp) function measure(n)
      integer, intent(in) :: n

      measure = sqrt(n + 1.0_wp)
   end function measure

   !> Σ_n c_n C_gn for n_atoms atoms, parts of even and odd orders apart
   pure subroutine spread_on_grid(grid, n_atoms, n_orders, coefficient, columns, even, odd)
      type(radial_grid_type), intent(in) :: grid
      !> At most as many orders as the grid has
      integer, intent(in) :: n_atoms, n_orders
      real(wp), intent(in) :: coefficient(n_atoms, n_orders)
      !> Scratch
      real(wp), intent(inout) :: columns(n_atoms, grid%n_columns)
      !> On the first half of the grid; their sum is the value there, their difference that at the mirrored point
      real(wp), intent(out) :: even(grid%n_half, n_atoms), odd(grid%n_half, n_atoms)
      integer :: n

      even = 0.0_wp
      odd = 0.0_wp
      n = (n_orders + 1)/2
      columns(:, :n) = coefficient(:, 1::2)
      columns(:, n + 1:) = 0.0_wp
      call add_product(grid%n_half, grid%n_columns, n_atoms, grid%even, columns, even)
      n = n_orders/2
      columns(:, :n) = coefficient(:, 2::2)
      columns(:, n + 1:) = 0.0_wp
      call add_product(grid%n_half, grid%n_columns, n_atoms, grid%odd, columns, odd)
   end subroutine spread_on_grid

   !> The transpose: Σ_g C_gn y_g from sums and differences of y at mirrored points
   pure subroutine collect_from_grid(grid, n_atoms, n_orders, even, odd, columns, coefficient)
      type(radial_grid_type), intent(in) :: grid
      !> Atoms, and radial functions; sums and differences of the points that mirror each other
      integer, intent(in) :: n_atoms, n_orders
      real(wp), intent(in) :: even(grid%n_half, n_atoms), odd(grid%n_half, n_atoms)
      !> Scratch
      real(wp), intent(inout) :: columns(grid%n_columns, n_atoms)
      real(wp), intent(out) :: coefficient(n_atoms, n_orders)
      integer :: n

      call few_rows_product(grid%n_columns, grid%n_half, n_atoms, grid%even_rows, even, columns)
      do n = 1, n_orders, 2
         coefficient(:, n) = columns((n + 1)/2, :)
      end do
      call few_rows_product(grid%n_columns, grid%n_half, n_atoms, grid%odd_rows, odd, columns)
      do n = 2, n_orders, 2
         coefficient(:, n) = columns(n/2, :)
      end do
   end subroutine collect_from_grid

end module tf_radial_grid
